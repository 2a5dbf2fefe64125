"""DBOS: a workflow with a model step and a tool step, every step's end in the database.

The fastest of what was tried: four threads, which run a workflow each, and a pool of eight
connections; asynchronous workflows gave two thirds of it, more threads and connections no more.
"""

import sys
from collections.abc import Callable

from dbos import DBOS  # type: ignore[import-not-found]

from .peer_process import THREADS, Ledger, Message, act, model, serve


def peer(url: str) -> Callable[[int], str]:
    """A workflow of so many steps, once DBOS is launched."""
    config = {"name": "bench", "system_database_url": url, "log_level": "ERROR"}
    DBOS(config=config | {"sys_db_pool_size": 2 * THREADS, "application_version": "1"})
    ledger = Ledger(url)

    def tool(left: int, number: int) -> Message:
        return act(ledger, DBOS.workflow_id, left, number)

    call_model, call_tool = DBOS.step(name="model")(model), DBOS.step(name="tool")(tool)

    def session(steps: int) -> str:
        left = steps
        for number in range(1, steps + 2):
            said = call_model(left, number)
            if not said["calls"]:
                return str(said["text"])
            left = said["calls"][0]["arguments"]["left"]
            call_tool(left, number)
        raise AssertionError("DBOS took another number of steps")

    run: Callable[[int], str] = DBOS.workflow(name="session")(session)
    DBOS.launch()
    return run


if __name__ == "__main__":
    serve(peer(sys.argv[1]))

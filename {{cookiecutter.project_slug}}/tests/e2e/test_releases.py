"""A session outlives the release that began it, and what is older leaves alone what is newer."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

from ..integration.conftest import Database, database
from ..processes import Process, eventually

__all__ = ["database"]
Start = Callable[..., Process]
NEXT = "tests.next_release"  # imported here, it would change this process
COMMANDS = ("serve", "work", "schedule")
TOLD = """SELECT status, schema, seq, lease_owner, array(SELECT e.version FROM events e
    WHERE e.session_id = s.id AND data->>'kind' = 'tool_requested' ORDER BY e.seq)
    FROM sessions s"""


def asked(web: Process, session: str) -> str:
    """Where to decide on the risk that the agent wants to take."""
    told = web.post(f"{session}/messages", {"text": "risk"}).json()
    (request,) = told["pending"]
    return f"{session}/approvals/{request['request_id']}"


def answers(web: Process, session: str) -> list[Any]:
    return [entry["response"] for entry in web.get(f"{session}/history").json()["history"]]


@pytest.mark.factor("V", "VI", "IX", "A5", "A6")
def test_a_session_goes_on_when_all_is_replaced_by_the_next_release_while_it_waits(
    start: Start, database: Database
) -> None:
    old = {command: start(command).healthy() for command in COMMANDS}
    session = old["serve"].post("/chat/sessions").headers["location"]
    approval = asked(old["serve"], session)
    new = {command: start(command, release=NEXT) for command in COMMANDS}
    for process in new.values():
        process.healthy(path="/ready")
    for process in old.values():
        process.signal(signal.SIGTERM)
        assert process.ended() == 0, process.output
    web = new["serve"]
    assert web.post(approval, {"approved": True}).status_code == 200
    eventually(lambda: answers(web, session) == ["so it is: dared 2"], "it is answered")
    assert database.execute(TOLD).fetchone() == ("idle", 2, 8, None, [1])

    approval = asked(web, session)
    new["work"].signal(signal.SIGTERM)
    assert new["work"].ended() == 0
    assert web.post(approval, {"approved": True}).status_code == 200
    left = database.execute(TOLD).fetchone()
    assert left == ("ready", 2, 12, None, [1, 2])
    web, worker = start("serve").healthy(), start("work").healthy(path="/ready")
    took = 'tasks_total{outcome="done",task="sessions.advance"}'
    eventually(lambda: took in worker.get("/metrics").text, "the old worker has looked at it")
    assert database.execute(TOLD).fetchone() == left
    for refused in (
        web.get(session),
        web.get(f"{session}/events"),
        web.post(f"{session}/messages", {"text": "hello"}),
    ):
        assert (refused.status_code, refused.json()["title"]) == (503, "Of a newer release")
    assert database.execute(TOLD).fetchone() == left

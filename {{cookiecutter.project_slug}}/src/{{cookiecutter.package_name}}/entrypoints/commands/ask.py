"""`ask`: one message to an agent from a script or a terminal; the answer comes back here, or there.

Who has to decide is told where that is set up, and may do so anywhere.
"""

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from ...channels import Address
from ...errors import AppError
from . import BY, AsJson, as_json, run
from .decide import settled
from .story import plain

if TYPE_CHECKING:
    from ...bootstrap import App

HEARD = ("idle", "done")


def ask(
    text: Annotated[str, typer.Argument(help="What is said.")],
    *,
    agent: Annotated[str | None, typer.Option(help="Who answers.")] = None,
    to: Annotated[
        str, typer.Option(metavar="PLACE", help="Where the answer goes, as in mail:ops@example.com")
    ] = "",
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait; 0: for ever.")] = 0,
    json: AsJson = False,
) -> None:
    """Say one thing to an agent and print the answer, however long it takes; or have it sent
    somewhere, and print the session's id.
    """
    found = run(lambda app: _ask(app, text, agent=agent, to=to, seconds=timeout or inf))
    typer.echo(as_json(found) if json else plain(found["answer"] or found["session"]))
    if not to and found["status"] not in HEARD:
        raise AppError(f"session {found['session']} is {found['status']}: there is no answer")


async def _ask(
    app: "App", text: str, *, agent: str | None, to: str, seconds: float
) -> dict[str, str]:
    address = Address.of(to)
    if to and address.channel not in app.deliverer.ways:
        on = ", ".join(app.deliverer.ways) or "none"
        raise AppError(f"--to {to} names no channel that is turned on: {on}")
    session_id = await app.service.start(agent=agent)
    if to:
        await app.channels.follow(session_id, address)
    await app.service.say(session_id, text, by=BY)
    if to:
        return {"session": session_id, "status": "ready", "answer": ""}
    thread = await settled(app.service, session_id, until=monotonic() + seconds)
    last = (await app.service.history(session_id))[-1]
    status = thread.session.status
    return {"session": session_id, "status": status, "answer": last.response or ""}

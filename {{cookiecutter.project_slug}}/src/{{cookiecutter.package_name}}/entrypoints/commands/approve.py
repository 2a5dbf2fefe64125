"""`approve`: see what waits for a person, and decide it with its arguments in view.

A script names the request; a person at a terminal need not, and is shown it and asked.
"""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...agent.session import OpenCall, Thread
from ...errors import Conflict
from ..terminal import BOLD, painted
from . import BY, AsJson, run, session_id, standing, tell
from .chat import decision
from .story import asked

if TYPE_CHECKING:
    from ...bootstrap import App

PAGE = 200


def approve(  # noqa: PLR0913
    session: Annotated[
        str | None,
        typer.Argument(
            metavar="[SESSION]", parser=session_id, help="Without it, all that waits is listed."
        ),
    ] = None,
    request: Annotated[
        str | None, typer.Argument(help="Its number, as in c3; without it you are asked.")
    ] = None,
    *,
    deny: Annotated[bool, typer.Option("--deny", help="Say no.")] = False,
    comment: Annotated[str, typer.Option(help="The agent reads it.")] = "",
    answer: Annotated[str | None, typer.Option(help="To a question.")] = None,
    json: AsJson = False,
) -> None:
    """See what waits for a person, and take the decision."""
    if deny and answer is not None:
        raise typer.BadParameter("--deny and --answer are two decisions: take one")
    given: dict[str, Any] = {"approved": not deny, "comment": comment, "answer": answer}
    is_given = deny or comment or answer is not None
    if session is None:
        if is_given:
            raise typer.BadParameter("name the session and the request that it is about")
        _list(run(waiting), json=json)
        return
    if request is None:
        if is_given or not sys.stdin.isatty():
            raise typer.BadParameter("name the request too: `sessions show` has its number")
        known = _only(run(lambda app: app.service.thread(session)))
        request, given = known.call.id, decision(known)
    name = request
    standing(run(lambda app: app.service.decide(session, name, by=BY, **given)), json=json)


async def waiting(app: "App") -> list[tuple[str, OpenCall]]:
    """All requests that wait for a person, with their sessions, the newest of those first."""
    sessions, pending, before = app.service.sessions, list[tuple[str, OpenCall]](), None
    while found := await sessions.list(
        owner=None, status="waiting", agent=None, before=before, limit=PAGE
    ):
        for summary in found:
            if thread := await sessions.load(summary.id):
                pending += [(summary.id, request) for request in thread.session.pending]
        before = found[-1].created_at, found[-1].id
    return pending


def _list(pending: list[tuple[str, OpenCall]], *, json: bool) -> None:
    told = [{"session_id": id_, "request": request} for id_, request in pending]
    lines = [f"{painted(id_, BOLD, sys.stdout)}  {asked(request)}" for id_, request in pending]
    tell({"pending": told}, "\n".join(lines) or "nothing waits for a person", json=json)


def _only(thread: Thread) -> OpenCall:
    pending = thread.session.pending
    if len(pending) == 1:
        return pending[0]
    names = ", ".join(request.call.id for request in pending)
    wanted = f"name one of {names}" if names else "it waits for nobody"
    raise Conflict(f"session {thread.id} is {thread.session.status}: {wanted}")

"""`chat`: a conversation in a terminal, or one from a file, a line a message or a decision.

The session lives in the service, not here: whoever leaves may come back to it.
"""

import sys
from contextlib import suppress
from typing import Annotated, Any

import typer

from ...about import about
from ...agent.session import OpenCall
from ...errors import Conflict
from ..terminal import BOLD, YELLOW, painted
from . import AsJson, opened, session_id
from .story import asked

YES, NO = ("y", "yes"), ("n", "no")
CLOSED = {"paused": "resume", "failed": "fork", "cancelled": "fork"}


def chat(
    *,
    session: Annotated[
        str | None, typer.Option(metavar="ID", parser=session_id, help="Go on with this session.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Who answers in a new session.")] = None,
    json: AsJson = False,
) -> None:
    """Talk with an agent, and take the decisions that it asks for.

    Ctrl-D leaves; the session stays. Where the input is no terminal, it is read line by line. As
    JSON it is a line an event.
    """
    if session and agent:
        raise typer.BadParameter("--agent is for a new session: this one has an agent")
    from .conversation import Conversation

    with opened() as (runner, app):
        talk = Conversation(app.upkeep, patient=sys.stdin.isatty(), json=json)
        runner.run(talk.begin(session, agent))
        with suppress(ImportError):
            import readline  # noqa: F401 - the lines of input() can then be edited and recalled
        try:
            while True:  # between two lines no loop runs, or Ctrl-C could not end the wait for one
                thread = runner.run(talk.follow())
                if way_on := CLOSED.get(thread.session.status):
                    way_on = f"`{about().slug} sessions {way_on} {talk.id}`"
                    raise Conflict(f"the session is {thread.session.status}: go on by {way_on}")
                if not (pending := thread.session.pending):
                    runner.run(talk.say(_line("> ")))
                    continue
                with suppress(Conflict):  # another was quicker; what they decided comes next
                    runner.run(talk.decide(pending[0].call.id, **decision(pending[0])))
        except (EOFError, KeyboardInterrupt):
            typer.echo(err=True)
        finally:
            typer.echo(f"go on with: {about().slug} chat --session {talk.id}", err=True)


def decision(request: OpenCall) -> dict[str, Any]:
    """That of whoever sits there."""
    typer.echo(painted(asked(request), YELLOW, sys.stderr), err=True)
    if request.permission == "answer":
        return {"approved": True, "answer": _line("your answer: ")}
    return verdict(_line("approve it? y, n, or why not: "))


def verdict(text: str) -> dict[str, Any]:
    """Only y or yes approves; what follows that, or n or no, is a comment, and so is all else."""
    word, _, rest = text.partition(" ")
    approved = word.lower() in YES
    return {"approved": approved, "comment": rest if approved or word.lower() in NO else text}


def _line(prompt: str) -> str:
    while not (text := input(_prompt(prompt) if sys.stdin.isatty() else "").strip()):
        continue
    return text


def _prompt(text: str) -> str:
    """What moves no cursor stands between \\1 and \\2: readline counts the columns."""
    before, blank, after = painted(text, BOLD, sys.stdout).partition(text)
    return f"\1{before}\2{blank}\1{after}\2" if before else text

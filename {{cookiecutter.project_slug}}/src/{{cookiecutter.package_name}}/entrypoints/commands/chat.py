"""`chat`: a conversation in a terminal, or one from a file, a line a message.

The session lives in the service, not here: whoever leaves may come back to it.
"""

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...about import about
from ...errors import Conflict
from ...settings import Settings
from . import session_id

if TYPE_CHECKING:
    from ...agent.session import OpenCall
    from ...service import Service
    from .conversation import Conversation

YES, NO = ("y", "yes"), ("n", "no")


def chat(
    *,
    session: Annotated[
        str, typer.Option(metavar="ID", parser=session_id, help="Go on with this session.")
    ] = "",
    agent: Annotated[str | None, typer.Option(help="Who answers in a new session.")] = None,
) -> None:
    """Talk with an agent, and take the decisions that it asks for.

    Ctrl-D leaves; the session stays. Where the input is no terminal, each line is a message.
    """
    if session and agent:
        raise typer.BadParameter("--agent is for a new session: this one has an agent")
    from ...bootstrap import running

    opened = running(Settings.load(), "cli")
    with asyncio.Runner() as runner:
        app = runner.run(opened.__aenter__())
        try:
            _talk(runner, app.service, session, agent)
        finally:
            runner.run(opened.__aexit__(None, None, None))


def _talk(runner: asyncio.Runner, service: "Service", id_: str, agent: str | None) -> None:
    """Between two lines the event loop rests: or Ctrl-C could not end what waits for a person."""
    from .conversation import Conversation

    interactive = sys.stdin.isatty()
    talk = Conversation(service, patient=interactive)
    runner.run(talk.begin(id_, agent))
    if interactive:
        typer.echo(f"session {talk.id}, which Ctrl-D leaves alone", err=True)
    try:
        (_converse if interactive else _read_out)(runner, talk)
    except (EOFError, KeyboardInterrupt):
        typer.echo(err=True)
    finally:
        typer.echo(f"go on with: {about().slug} chat --session {talk.id}", err=True)


def _converse(runner: asyncio.Runner, talk: "Conversation") -> None:
    with suppress(ImportError):
        import readline  # noqa: F401 - the lines of input() can then be edited and recalled
    while True:
        thread = runner.run(talk.follow())
        for request in thread.session.pending:
            decision = _ask(request)
            with suppress(Conflict):  # another was quicker; what they decided comes next
                runner.run(talk.decide(request.call.id, **decision))
        if not thread.session.pending:
            runner.run(talk.say(_line("> ")))


def _read_out(runner: asyncio.Runner, talk: "Conversation") -> None:
    runner.run(talk.follow())
    for text in filter(None, map(str.strip, sys.stdin)):
        runner.run(talk.say(text))
        thread = runner.run(talk.follow())
        for request in thread.session.pending:
            _show(request)
            typer.echo(f"decide: {about().slug} approve {talk.id} {request.call.id}", err=True)


def _ask(request: "OpenCall") -> dict[str, Any]:
    """The decision of whoever sits there."""
    _show(request)
    if request.waits_for == "answer":
        return {"approved": True, "answer": _line("your answer: ")}
    return verdict(_line("approve it? y, n, or why not: "))


def verdict(text: str) -> dict[str, Any]:
    """Only y or yes approves; what follows that, or n or no, is a comment, and so is all else."""
    word, _, rest = text.partition(" ")
    if word.lower() in YES:
        return {"approved": True, "comment": rest}
    return {"approved": False, "comment": rest if word.lower() in NO else text}


def _show(request: "OpenCall") -> None:
    from .story import asked

    typer.echo(asked(request), err=True)


def _line(prompt: str) -> str:
    while not (text := input(prompt).strip()):
        continue
    return text

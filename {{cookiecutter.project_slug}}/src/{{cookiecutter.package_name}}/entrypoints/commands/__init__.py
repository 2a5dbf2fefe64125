"""What people and scripts ask of the service from a terminal, each a one-off process (factor XII).

No driver and no broker is imported before a command runs: `--help` is to be quick.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from ...settings import Settings

if TYPE_CHECKING:
    from ...agent.session import Thread
    from ...bootstrap import App

T = TypeVar("T")
BY = "cli"


def session_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no session's id: `sessions list` has them") from None


SessionId = Annotated[
    str, typer.Argument(metavar="SESSION", parser=session_id, help="Its id, as in `sessions list`.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@contextmanager
def opened() -> Iterator[tuple[asyncio.Runner, "App"]]:
    """The service, opened for this process alone, and what runs its coroutines."""
    from ...bootstrap import running

    opening = running(Settings.load(), "cli")
    with asyncio.Runner() as runner:
        app = runner.run(opening.__aenter__())
        try:
            yield runner, app
        finally:
            runner.run(opening.__aexit__(None, None, None))


def run(act: Callable[["App"], Coroutine[Any, Any, T]]) -> T:
    with opened() as (runner, app):
        return runner.run(act(app))


def standing(thread: "Thread", *, json: bool) -> None:
    """Where a session stands after it was changed."""
    session = thread.session
    known = {"session_id": thread.id, "status": session.status, "seq": thread.seq}
    tell(known, f"session {thread.id} is {session.status}", json=json)


def tell(known: Mapping[str, object], words: str = "", *, json: bool) -> None:
    """To a program all that is known; to a person the words, or else the values."""
    typer.echo(as_json(known) if json else words or "\n".join(map(str, known.values())))


def as_json(value: object) -> str:
    from pydantic_core import to_json

    return to_json(value, indent=2).decode()

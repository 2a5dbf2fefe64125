"""What people and scripts ask of the service from a terminal, each a one-off process (factor XII).

Nothing heavy is imported before a command runs: `--help` is to be quick.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer

from ...settings import Settings

if TYPE_CHECKING:
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


def run(act: Callable[["App"], Awaitable[T]]) -> T:
    """What comes of it, on a service that is opened for it alone."""
    from ...bootstrap import running

    async def whole() -> T:
        async with running(Settings.load(), "cli") as app:
            return await act(app)

    return asyncio.run(whole())


def as_json(value: object) -> str:
    from pydantic_core import to_json

    return to_json(value, indent=2).decode()

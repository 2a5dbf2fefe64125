"""`sessions show --follow`: what happens in a session, as it happens, to whoever only looks on."""

import asyncio
import sys
from typing import TYPE_CHECKING

import typer

from ...agent.session import Thread
from ...errors import Unavailable
from ..terminal import YELLOW, painted
from .story import asked

if TYPE_CHECKING:
    from ...bootstrap import App

OVER = {"done", "failed", "cancelled"}
AWAY_SECONDS = 2.0


async def followed(app: "App", session_id: str, *, after: int, json: bool) -> None:
    """Until the session is over; one that waits for a person, or for days, is no reason to end,
    and neither is a database that is away meanwhile.
    """
    from .conversation import Conversation

    talk = Conversation(app.upkeep, patient=True, json=json)
    talk.join(session_id, after=after)
    told: set[str] = set()
    while True:
        try:
            thread = await talk.follow()
            if thread.session.status in OVER:
                typer.echo(f"the session is {thread.session.status}", err=True)
                return
            _tell(thread, told)
            await talk.rest()
        except Unavailable as error:
            typer.echo(f"{error}; this goes on by itself", err=True)
            await asyncio.sleep(AWAY_SECONDS)


def _tell(thread: Thread, told: set[str]) -> None:
    """Each request once."""
    for request in thread.session.pending:
        if request.call.id not in told:
            told.add(request.call.id)
            typer.echo(painted(f"waits for {asked(request)}", YELLOW, sys.stderr), err=True)

"""What one who talks with a session is told of it, in the order in which it happens.

What the model says streams as news, which may get lost; what it has said is told from the store.
"""

import re
import sys
from time import monotonic

import typer

from ...about import about
from ...agent import events as e
from ...agent.history import Stored
from ...agent.session import Thread
from ...errors import Unavailable
from ...ports import Watch
from ...upkeep import Upkeep
from ..terminal import DIM, Passing, painted
from . import BY
from .story import as_line, events_of, plain, told

LOOK_SECONDS = 1.0
SILENCE_SECONDS = 5.0
NOTED = re.compile("user_|model_failed|tool_(?!started)|person_|decision_|session_(?!started)")


class Conversation:
    def __init__(
        self,
        upkeep: Upkeep,
        *,
        patient: bool,
        silence: float = SILENCE_SECONDS,
        json: bool = False,
    ) -> None:
        """Patient: waits for a worker where none lives; else that is an error."""
        self._json = json
        self._passing = Passing(sys.stderr)
        self.id = ""
        self._upkeep = upkeep
        self._service = upkeep.service
        self._patient = patient
        self._silence = silence
        self._seen = 0
        self._own: set[int] = set()
        self._streamed = ""
        self._said = ""
        self._heard_at = monotonic()

    async def begin(self, session_id: str | None, agent: str | None) -> None:
        """With what was said last, where the session is not new."""
        if not session_id:
            self.id = await self._service.start(agent=agent)
            return
        for exchange in (await self._service.history(session_id))[-1:]:
            if not self._json:
                typer.echo(f"> {plain(exchange.message)}\n{plain(exchange.response or '')}")
        self.join(session_id, after=(await self._service.thread(session_id)).seq)

    def join(self, session_id: str, *, after: int) -> None:
        """Tells what happens after that place."""
        self.id, self._seen = session_id, after

    async def say(self, text: str) -> None:
        self._own.add(await self._service.say(self.id, text, by=BY))

    async def decide(
        self, request_id: str, *, approved: bool, comment: str = "", answer: str | None = None
    ) -> None:
        await self._service.decide(
            self.id, request_id, approved=approved, by=BY, comment=comment, answer=answer
        )

    async def follow(self) -> Thread:
        """Tells what happens until the session waits for a person."""
        self._heard_at = self._began_at = monotonic()
        async with self._service.live.watch(self.id) as watch:
            while True:
                thread = await self._service.thread(self.id)
                async for stored in events_of(self._service, self.id, after=self._seen):
                    self._heard_at, self._seen = monotonic(), stored.seq
                    self._show(stored)
                if self._seen > thread.seq:
                    continue
                if thread.session.status != "ready":
                    self._passing.clear()
                    return thread
                await self._listen(watch, doing(thread))

    async def rest(self) -> None:
        """Until something new is stored."""
        async with self._service.live.watch(self.id) as watch:
            while (await self._service.thread(self.id)).seq == self._seen:
                await watch.next(LOOK_SECONDS)

    async def _listen(self, watch: Watch, doing: str) -> None:
        """Until there is something new in the store, or it is time to look."""
        while news := await watch.next(LOOK_SECONDS):
            if not news.text:
                return
            self._heard_at = monotonic()
            if not self._json:
                self._passing.clear()
                self._streamed += (text := plain(news.text))
                typer.echo(text, nl=False)
        if not self._streamed:
            self._passing.show(f"{doing}… {monotonic() - self._began_at:.0f} s")
        if monotonic() - self._heard_at > self._silence and not await self._upkeep.workers():
            missing = f"no worker is alive to answer: start one with `{about().slug} up`"
            if not self._patient:
                raise Unavailable(f"{missing}; the message is kept")
            self._note(f"{missing}; this goes on by itself then")
            self._silence = float("inf")

    def _show(self, stored: Stored) -> None:
        self._passing.clear()
        if self._json:
            typer.echo(as_line(stored))
            return
        match event := stored.event:
            case e.ModelAnswered(purpose="think"):
                self._complete(event.text)
            case e.AgentAnswered() if event.text != self._said:
                self._complete(event.text)
            case e.UserSpoke() if stored.seq in self._own:
                return
            case e.ToolRequested() if event.permission != "auto":
                return  # it is shown where the person is asked
            case _ if NOTED.match(event.kind):
                self._note(f"· {event.kind.replace('_', ' ')}: {told(event)}")

    def _complete(self, text: str) -> None:
        """What has not come as news yet; all of it, where some of that got lost."""
        self._said, text, streamed = text, plain(text), self._streamed
        if not text.startswith(streamed):
            typer.echo()
            streamed = ""
        if text:
            typer.echo(text.removeprefix(streamed))
        self._streamed = ""

    def _note(self, text: str) -> None:
        if self._streamed:
            typer.echo()
            self._streamed = ""
        self._passing.clear()
        typer.echo(painted(text, DIM, sys.stderr), err=True)


def doing(thread: Thread) -> str:
    """What takes long, where it does."""
    called = [known.call.tool for known in thread.session.open.values() if known.started]
    return plain(", ".join(called)) or "thinking"

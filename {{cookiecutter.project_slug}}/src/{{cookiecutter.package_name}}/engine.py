"""The durable engine: takes a session up, steps it, stores each step, and lets it go (factor VI).

It may be killed between any two lines: the session is another's as soon as this process is gone.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic

from .agent import events as e
from .agent.acts import Acts, Events
from .agent.definition import Agent
from .agent.loop import Loop
from .agent.ports import Model
from .agent.session import Thread
from .errors import Unavailable
from .ports import Live, Queue, Sessions
from .service import ADVANCE

log = logging.getLogger(__name__)

SLICE_SECONDS = 30.0
BACKOFF_SECONDS = (1, 5, 30, 120)
AT_ONCE, SOON, RETRY = timedelta(0), timedelta(seconds=1), timedelta(seconds=5)
Span = Callable[[Thread], AbstractContextManager[object]]
UNSEEN = nullcontext()
RECOMPUTED = (e.ContextCompacted, e.SessionPaused)
"""Conclusions, not deeds: drawn anew when somebody has changed the session meanwhile."""
STEPS = (e.FactsFetched, e.ModelAnswered, e.ModelFailed, e.ToolStarted, e.ToolReturned)
"""What workers alone append, and so only where a statement of ours was done and nobody heard."""


@dataclass(kw_only=True)
class Engine:
    sessions: Sessions
    queue: Queue
    live: Live
    agents: Mapping[str, Agent]
    model: Model
    clock: Callable[[], datetime]
    owner: Callable[[], int]
    """The id under which this process holds its leases."""
    context_tokens: int
    decision_time: timedelta
    on_step: Callable[[Thread, Events], None]
    """Told the session before, and what was stored."""
    on_interruption: Callable[[str], None]
    slice_span: Span = lambda _: UNSEEN
    """What is seen of a slice where traces are collected."""
    _kept: dict[str, int] = field(default_factory=dict)
    draining: bool = False
    """Told to stop: what is in flight is the last step of each session here."""

    async def advance(self, session_id: str) -> None:
        """Steps a session while there is something to do and its time slice lasts."""
        owner = self.owner()
        try:
            if thread := await self.sessions.claim(session_id, owner=owner):
                with self.slice_span(thread):
                    await self._run(thread, owner)
        except asyncio.CancelledError:
            self.on_interruption("shutdown")
            await asyncio.shield(self._let_go(session_id, owner))
            raise
        except Unavailable:
            self.on_interruption("backing")
            await self._let_go(session_id, owner, wake_in=SOON)
            raise
        except Exception:  # a fault of ours: tried again, but not for ever
            log.exception("session broke off", extra={"session": session_id})
            self.on_interruption("fault")
            await self._let_go(session_id, owner, wake_in=RETRY, blameless=False)

    async def tidy(self) -> None:
        """Lets go what could not be let go when the database was away."""
        for session_id, owner in list(self._kept.items()):
            await self._let_go(session_id, owner)

    async def _run(self, thread: Thread, owner: int) -> None:
        until = monotonic() + SLICE_SECONDS
        loop = self._loop(thread) if thread.session.agent in self.agents else None
        released = False
        while not released:
            events = await loop.step(thread) if loop else self._no_agent(thread)
            is_over = self.draining or monotonic() > until
            last = is_over and not isinstance(events[-1], e.ToolStarted)  # the begun is done
            thread, released = await self._store(thread, events, owner=owner, last=last)
        if thread.session.status == "ready" and not isinstance(events[0], e.ModelFailed):
            await self.queue.send(ADVANCE, lane=thread.lane, session_id=thread.id)

    async def _store(
        self, thread: Thread, events: Events, *, owner: int, last: bool
    ) -> tuple[Thread, bool]:
        """The session with the events, whoever else has changed it; and whether it is let go."""
        while True:
            after = thread.after(*events)
            wake_at = self._wake_at(after, events)
            release = last or wake_at is not None or after.session.status != "ready"
            if await self.sessions.commit(
                after, events, owner=owner, release=release, wake_at=wake_at
            ):
                return self._told(thread, events, after), release
            held = await self.sessions.held(thread.id, owner=owner)
            if held is None:
                log.warning("lease lost", extra={"session": thread.id, "seq": thread.seq})
                self.on_interruption("lease")
                return Thread(thread.id), True
            news = held.events[max(thread.seq - held.base, 0) :]
            if any(isinstance(new, STEPS) for new in news):
                return await self._seen_anew(self._told(thread, events, held), owner)
            if isinstance(events[0], RECOMPUTED):
                return await self._seen_anew(held, owner)
            thread = held

    def _told(self, before: Thread, events: Events, after: Thread) -> Thread:
        self.live.tell(after.id, after.seq)
        self.on_step(before, events)
        return after

    async def _seen_anew(self, thread: Thread, owner: int) -> tuple[Thread, bool]:
        if thread.session.status == "ready":
            return thread, False
        await self._let_go(thread.id, owner)
        return thread, True

    async def _let_go(
        self,
        session_id: str,
        owner: int,
        wake_in: timedelta = AT_ONCE,
        *,
        blameless: bool = True,
    ) -> None:
        self._kept[session_id] = owner
        with suppress(Unavailable):
            await self.sessions.release(
                session_id, owner=owner, wake_in=wake_in, blameless=blameless
            )
            del self._kept[session_id]

    def _loop(self, thread: Thread) -> Loop:
        acts = Acts(
            agent=self.agents[thread.session.agent],
            clock=self.clock,
            decision_time=self.decision_time,
        )
        return Loop(
            model=self.model,
            acts=acts,
            on_text=lambda text: self.live.token(thread.id, text),
            context_tokens=self.context_tokens,
        )

    def _no_agent(self, thread: Thread) -> Events:
        reason = f"this release has no agent {thread.session.agent!r}: resume it where there is one"
        return [e.SessionPaused(at=self.clock(), reason=reason)]

    def _wake_at(self, after: Thread, events: Events) -> datetime | None:
        """Later, where no model answered; each time after a longer wait."""
        if after.session.status != "ready" or not isinstance(failed := events[0], e.ModelFailed):
            return None
        wait = BACKOFF_SECONDS[min(after.session.errors, len(BACKOFF_SECONDS)) - 1]
        return self.clock() + timedelta(seconds=max(wait, failed.wait))

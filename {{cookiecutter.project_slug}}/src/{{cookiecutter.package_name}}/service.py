"""The use cases: what can be asked of this service, whatever the door it comes in by.

Each reads the session, decides by its state, and appends events; what is to do then is a worker's.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import uniform
from time import monotonic
from typing import Any
from uuid import uuid4

from .agent import events as e
from .agent.definition import Agent
from .agent.history import Exchange, exchanges
from .agent.ports import Backing, Live, Processes, Queue, Sessions, Stored, Summary, Watch
from .agent.prompts import choose
from .agent.session import Thread
from .errors import Conflict, NotFound, Unavailable

log = logging.getLogger(__name__)

ADVANCE = "sessions.advance"
CLEANUP = "sessions.cleanup"
SWEEP_LIMIT = 500
ATTEMPTS = 5
TRIES = 20
TRY_SECONDS = 0.02
LOOK_SECONDS = 5.0
PAGE = 1000
GONE = "it has ended; fork it, or start another"
Decide = Callable[[Thread], list[e.AnyEvent]]


@dataclass(frozen=True)
class Reply:
    """What came of a message so far."""

    exchange: Exchange
    thread: Thread

    @property
    def is_settled(self) -> bool:
        """Nothing more comes of it by itself."""
        return self.exchange.response is not None or self.thread.session.status != "ready"


@dataclass(frozen=True, kw_only=True)
class Service:
    sessions: Sessions
    processes: Processes
    queue: Queue
    live: Live
    agents: Mapping[str, Agent]
    backing: Sequence[Backing]
    clock: Callable[[], datetime]
    retention: timedelta
    default_agent: str = ""
    prompt_version: str = ""
    lane: str = "default"
    ping_seconds: float = 5.0

    async def start(
        self, *, agent: str | None = None, metadata: dict[str, Any] | None = None
    ) -> str:
        """A new session, idle; its id."""
        name = agent or self.default_agent or next(iter(self.agents), "")
        if name not in self.agents:
            raise NotFound(f"there is no agent {name!r}: only {', '.join(self.agents)}")
        prompt = choose(self.agents[name].prompts, self.prompt_version)
        began = e.SessionStarted(
            at=self.clock(), agent=name, prompt=prompt, metadata=metadata or {}
        )
        thread = Thread.of(str(uuid4()), [began], lane=self.lane)
        await self.sessions.start(thread, metadata=metadata or {}, lane=self.lane)
        return thread.id

    async def say(self, session_id: str, text: str, *, key: str | None = None) -> int:
        """The place of the message; of the one that was sent with this key before, if any."""

        def spoken(thread: Thread) -> list[e.AnyEvent]:
            _refuse(thread, {"paused": "resume it first", "failed": GONE, "cancelled": GONE})
            return [e.UserSpoke(at=self.clock(), text=text)]

        async for _ in _tries():
            if key and (known := await self.sessions.find(session_id, key)):
                return _same(known, text, key)
            thread = await self._load(session_id)
            if await self._append(thread, spoken(thread), key=key):
                return thread.seq + 1
        raise _busy(session_id)

    async def reply(
        self,
        session_id: str,
        seq: int,
        *,
        seconds: float,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Reply:
        """What came of the message at this place, once it is settled or the time is over."""
        until = monotonic() + seconds
        async with self.live.watch(session_id) as watch:
            while True:
                reply = await self._reply(session_id, seq)
                if reply.is_settled or monotonic() >= until or stopping():
                    return reply
                await _more_stored(watch, min(until, monotonic() + LOOK_SECONDS))

    async def decide(  # noqa: PLR0913
        self,
        session_id: str,
        request_id: str,
        *,
        approved: bool,
        by: str,
        comment: str = "",
        answer: str | None = None,
    ) -> Thread:
        """A person's decision. The same decision twice is one; another one comes too late."""

        def decided(thread: Thread) -> list[e.AnyEvent]:
            _refuse(thread, {"failed": GONE, "cancelled": GONE})
            known = thread.session.open.get(request_id)
            if known is None or known.waits_for == "worker":
                return _decided_before(thread, request_id, approved=approved, answer=answer)
            given = {"at": self.clock(), "call_id": request_id, "by": by}
            if not approved:
                return [e.ToolDenied(**given, comment=comment)]
            if known.waits_for == "approval":
                return [e.ToolApproved(**given, comment=comment)]
            if answer is None:
                raise Conflict(f"request {request_id} is a question: send an `answer`")
            return [e.PersonAnswered(**given, answer=answer)]

        return await self._change(session_id, decided)

    async def pause(self, session_id: str, *, by: str, reason: str = "") -> Thread:
        def paused(thread: Thread) -> list[e.AnyEvent]:
            _refuse(thread, {"failed": GONE, "cancelled": GONE})
            if thread.session.paused is not None:
                return []
            return [e.SessionPaused(at=self.clock(), reason=reason or f"asked by {by}", by=by)]

        return await self._change(session_id, paused)

    async def resume(self, session_id: str, *, by: str, more: e.Budget) -> Thread:
        def resumed(thread: Thread) -> list[e.AnyEvent]:
            _refuse(thread, {"failed": GONE, "cancelled": GONE})
            if thread.session.paused is None:
                return []
            if thread.session.spent and more == e.Budget():
                raise Conflict(f"{thread.session.paused}: resume it with `more` of it")
            return [e.SessionResumed(at=self.clock(), by=by, more=more)]

        return await self._change(session_id, resumed)

    async def cancel(self, session_id: str, *, by: str, reason: str = "") -> Thread:
        def cancelled(thread: Thread) -> list[e.AnyEvent]:
            if thread.session.ended:
                return []
            return [e.SessionCancelled(at=self.clock(), by=by, reason=reason)]

        return await self._change(session_id, cancelled)

    async def fork(self, session_id: str, *, at: int | None = None) -> str:
        """A new session with the events up to there; a call that was about to run does not."""
        summary = await self.summary(session_id)
        events = [s.event async for s in self._all_events(session_id)]
        at = len(events) if at is None else at
        if not 1 <= at <= len(events):
            raise NotFound(f"session {session_id} has no event {at}: its last is {len(events)}")
        first = events[0].model_copy(update={"forked_from": f"{session_id}@{at}"})
        thread = Thread.of(str(uuid4()), [first, *events[1:at]], lane=summary.lane)
        stopped = [
            e.ToolFailed(at=self.clock(), call_id=call.call.id, error="not run in this fork")
            for call in thread.session.open.values()
            if call.waits_for == "worker"
        ]
        whole = Thread.of(thread.id, [first, *events[1:at], *stopped], lane=summary.lane)
        await self.sessions.start(
            whole, metadata=summary.metadata, parent=session_id, lane=summary.lane
        )
        await self._enqueue(whole)
        return whole.id

    async def history(self, session_id: str) -> list[Exchange]:
        await self.summary(session_id)
        return exchanges([stored async for stored in self._all_events(session_id)])

    async def events(self, session_id: str, *, after: int, limit: int) -> list[Stored]:
        """What is stored after that place."""
        events = await self.sessions.events(session_id, after=after, limit=limit)
        if not events:
            await self.summary(session_id)
        return events

    async def summary(self, session_id: str) -> Summary:
        if summary := await self.sessions.summary(session_id):
            return summary
        raise _unknown(session_id)

    async def thread(self, session_id: str) -> Thread:
        return await self._load(session_id)

    async def delete(self, session_id: str) -> None:
        if not await self.sessions.delete(session_id):
            raise _unknown(session_id)
        self.live.tell(session_id, 0)

    async def sweep(self) -> int:
        """Recover what a dead process, a lost message or a late person left; how many sessions."""
        if buried := await self.processes.bury():
            log.warning("dead processes buried", extra={"count": buried})
        for session_id in await self.sessions.claim_poisonous(attempts=ATTEMPTS, limit=SWEEP_LIMIT):
            log.error("session failed", extra={"session": session_id, "attempts": ATTEMPTS})
            await self._change(session_id, self._poisoned)
        for session_id in await self.sessions.claim_overdue(limit=SWEEP_LIMIT):
            await self._change(session_id, self._overdue)
        stale = await self.sessions.claim_stale(limit=SWEEP_LIMIT)
        for session_id, lane in stale:
            await self.queue.send(ADVANCE, lane=lane, session_id=session_id)
        if stale:
            log.warning("sessions queued again", extra={"count": len(stale)})
        return len(stale)

    async def cleanup(self) -> int:
        forgotten = await self.sessions.forget(older_than=self.retention)
        log.info("old sessions forgotten", extra={"count": forgotten})
        return forgotten

    async def faults(self) -> dict[str, str | None]:
        """Every backing service by name, with its fault or None, each within the time limit."""

        async def fault(backing: Backing) -> str | None:
            try:
                async with asyncio.timeout(self.ping_seconds):
                    await backing.ping()
            except TimeoutError:
                return f"no answer within {self.ping_seconds:g} s"
            except Unavailable as error:
                return str(error)
            return None

        answers = await asyncio.gather(*map(fault, self.backing))
        return dict(zip((backing.name for backing in self.backing), answers, strict=True))

    async def workers(self) -> list[str]:
        """The workers that live, as host:pid."""
        return [p["name"] for p in await self.processes.alive() if p["kind"] == "worker"]

    async def broken(self) -> dict[str, str]:
        """Only those with a fault."""
        return {name: fault for name, fault in (await self.faults()).items() if fault}

    async def _change(self, session_id: str, decide: Decide) -> Thread:
        """Appends what is decided on the session as it is, however many others change it too."""
        async for _ in _tries():
            thread = await self._load(session_id)
            events = decide(thread)
            if not events:
                return thread
            if await self._append(thread, events):
                return thread.after(*events)
        raise _busy(session_id)

    async def _append(
        self, thread: Thread, events: Sequence[e.AnyEvent], *, key: str | None = None
    ) -> bool:
        if not await self.sessions.append(thread, *events, key=key):
            return False
        self.live.tell(thread.id, thread.seq + len(events))
        await self._enqueue(thread.after(*events))
        return True

    async def _enqueue(self, thread: Thread) -> None:
        """Its row is the outbox: a broker that is down only delays the work."""
        if thread.session.status != "ready":
            return
        try:
            await self.queue.send(ADVANCE, lane=thread.lane, session_id=thread.id)
        except Unavailable as error:
            extra = {"session": thread.id, "error": str(error)}
            log.warning("session left to the sweeper", extra=extra)

    async def _load(self, session_id: str) -> Thread:
        if thread := await self.sessions.load(session_id):
            return thread
        raise _unknown(session_id)

    async def _reply(self, session_id: str, seq: int) -> Reply:
        thread = await self._load(session_id)
        first = thread.seq - len(thread.events) + 1
        if seq < first:  # compacted since
            events = [stored async for stored in self._all_events(session_id, after=seq - 1)]
        else:
            events = [Stored(n, event) for n, event in enumerate(thread.events, first) if n >= seq]
        told = exchanges(events)
        answered = (exchange for exchange in told if exchange.response is not None)
        return Reply(next(answered, told[0]), thread)  # one answer may be to several messages

    async def _all_events(self, session_id: str, *, after: int = 0) -> AsyncIterator[Stored]:
        while True:
            page = await self.sessions.events(session_id, after=after, limit=PAGE)
            for stored in page:
                yield stored
            if len(page) < PAGE:
                return
            after = page[-1].seq

    def _poisoned(self, _: Thread) -> list[e.AnyEvent]:
        reason = f"begun {ATTEMPTS} times, and each time its worker ended without a result"
        return [e.SessionFailed(at=self.clock(), reason=reason)]

    def _overdue(self, thread: Thread) -> list[e.AnyEvent]:
        now = self.clock()
        return [
            e.DecisionTimedOut(at=now, call_id=call.call.id)
            for call in thread.session.pending
            if call.expires_at and call.expires_at <= now
        ]


async def _tries() -> AsyncIterator[None]:
    """After longer and longer waits: the many writers of one session get in each other's way."""
    for number in range(TRIES):
        yield
        await asyncio.sleep(uniform(0, number * TRY_SECONDS))  # noqa: S311


async def _more_stored(watch: Watch, until: float) -> None:
    """Returns when the store is worth a look: text that streams by is not in it."""
    while (left := until - monotonic()) > 0:
        news = await watch.next(left)
        if news is None or not news.text:
            return


def _refuse(thread: Thread, states: Mapping[str, str]) -> None:
    if why := states.get(status := thread.session.status):
        raise Conflict(f"session {thread.id} is {status}: {why}")


def _decided_before(
    thread: Thread, request_id: str, *, approved: bool, answer: str | None
) -> list[e.AnyEvent]:
    """Nothing to append, where the decision was this one."""
    kinds = (e.ToolApproved, e.ToolDenied, e.PersonAnswered, e.DecisionTimedOut)
    decisions = [d for d in thread.events if isinstance(d, kinds) and d.call_id == request_id]
    match decisions:
        case []:
            raise NotFound(
                f"session {thread.id} has no request {request_id!r} that waits for a decision: "
                f"GET /chat/sessions/{thread.id} says what does"
            )
        case [e.ToolApproved()] if approved:
            return []
        case [e.ToolDenied()] if not approved:
            return []
        case [e.PersonAnswered(answer=given)] if approved and given == answer:
            return []
    raise Conflict(f"request {request_id} of session {thread.id} has been decided otherwise")


def _same(known: Stored, text: str, key: str) -> int:
    if not isinstance(known.event, e.UserSpoke) or known.event.text != text:
        raise Conflict(f"the idempotency key {key!r} was sent with another message: send a new one")
    return known.seq


def _unknown(session_id: str) -> NotFound:
    return NotFound(f"session {session_id} does not exist: POST /chat/sessions makes one")


def _busy(session_id: str) -> Unavailable:
    return Unavailable(f"session {session_id} changes too fast: try again")

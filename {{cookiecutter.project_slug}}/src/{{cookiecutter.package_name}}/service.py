"""The use cases: what can be asked of this service, whatever the door it comes in by.

Each reads the session, decides by its state, and appends events; what is to do then is a worker's.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import uniform
from time import monotonic
from typing import Any
from uuid import uuid4

from .agent import events as e
from .agent.definition import Agent
from .agent.history import Exchange, Stored, exchanges
from .agent.prompts import choose
from .agent.session import Thread
from .errors import Conflict, Forbidden, NotFound, Unavailable
from .ports import Live, Queue, Sessions, Summary, Watch, Whose

log = logging.getLogger(__name__)

ADVANCE = "sessions.advance"
OPERATOR = Whose()
TRIES, TRY_SECONDS = 20, 0.02
LOOK_SECONDS = 5.0
PAGE = 1000
MOST_UNHEARD, MOST_UNHEARD_TEXT = 100, 500_000
GONE = "it has ended; fork it, or start another"
ENDS = (e.SessionCancelled, e.SessionFailed)
ENDED = {"failed": GONE, "cancelled": GONE}
Decide = Callable[[Thread], list[e.AnyEvent]]
Told = Callable[[Thread, Sequence[e.AnyEvent]], None]


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
    queue: Queue
    live: Live
    agents: Mapping[str, Agent]
    clock: Callable[[], datetime]
    default_agent: str = ""
    prompt_version: str = ""
    lane: str = "default"
    four_eyes: bool = False
    """Who has told a session anything approves nothing in it."""
    trace: Callable[[], str] = str
    """The traceparent of what is asked just now; empty where nothing is traced."""
    on_append: Told = lambda *_: None
    """Told the session before, and what was stored."""

    async def start(
        self,
        *,
        agent: str | None = None,
        metadata: dict[str, Any] | None = None,
        whose: Whose = OPERATOR,
        session_id: str = "",
    ) -> str:
        """A new session, idle; its id. With one that is known, nothing happens."""
        thread, metadata = self._new(session_id, agent, metadata or {}), metadata or {}
        await self.sessions.start(thread, thread.events, metadata=metadata, whose=whose)
        return thread.id

    async def begin(  # noqa: PLR0913
        self,
        text: str,
        *,
        by: str = "",
        key: str | None = None,
        agent: str | None = None,
        metadata: dict[str, Any] | None = None,
        whose: Whose = OPERATOR,
        session_id: str = "",
    ) -> str:
        """A new session and what is said in it first; in one that is known, it is said there."""
        new, metadata = self._new(session_id, agent, metadata or {}), metadata or {}
        spoke = e.UserSpoke(at=self.clock(), text=text, by=by, trace=self.trace())
        thread = new.after(spoke)
        if await self.sessions.start(
            thread, thread.events, metadata=metadata, whose=whose, key=key
        ):
            await self._spread(new, [spoke])
        else:
            await self.say(thread.id, text, by=by, key=key, payer=whose.key_id)
        return thread.id

    def _new(self, session_id: str, agent: str | None, metadata: dict[str, Any]) -> Thread:
        name = agent or self.default_agent or next(iter(self.agents), "")
        if name not in self.agents:
            raise NotFound(f"there is no agent {name!r}: only {', '.join(self.agents)}")
        prompt = choose(self.agents[name].prompts, self.prompt_version)
        began = e.SessionStarted(at=self.clock(), agent=name, prompt=prompt, metadata=metadata)
        return Thread.of(session_id or str(uuid4()), [began], lane=self.lane)

    async def say(
        self,
        session_id: str,
        text: str,
        *,
        by: str = "",
        key: str | None = None,
        payer: int | None = None,
    ) -> int:
        """The place of the message; of the one that was sent with this key before, if any."""
        async for _ in _tries():
            if key and (known := await self.sessions.find(session_id, key)):
                return _same(known, text, key)
            thread = await self.thread(session_id)
            _refuse(thread, ENDED | {"paused": "resume it first"})
            _refuse_pile(thread)
            spoke = e.UserSpoke(at=self.clock(), text=text, by=by, trace=self.trace())
            if await self._append(thread, [spoke], key=key, payer=payer):
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
                await more_stored(watch, min(until, monotonic() + LOOK_SECONDS))

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
            _refuse(thread, ENDED)
            known = thread.session.open.get(request_id)
            if known is None or known.permission == "auto":
                given = {"approved", f"answered: {answer}"} if approved else {"denied"}
                return _decided_before(thread, request_id, given)
            by_whom = {"at": self.clock(), "call_id": request_id, "by": by}
            if not approved:
                return [e.ToolDenied(**by_whom, comment=comment)]
            if known.permission == "ask":
                if self.four_eyes and by in thread.session.speakers:
                    raise Forbidden(f"{by} has spoken in this session: another has to approve")
                return [e.ToolApproved(**by_whom, comment=comment)]
            if answer is None:
                raise Conflict(f"request {request_id} is a question: send an `answer`")
            return [e.PersonAnswered(**by_whom, answer=answer)]

        return await self.change(session_id, decided)

    async def pause(self, session_id: str, *, by: str, reason: str = "") -> Thread:
        def paused(thread: Thread) -> list[e.AnyEvent]:
            _refuse(thread, ENDED)
            if thread.session.paused is not None:
                return []
            return [e.SessionPaused(at=self.clock(), reason=reason or f"asked by {by}", by=by)]

        return await self.change(session_id, paused)

    async def resume(
        self, session_id: str, *, by: str, more: e.Budget, payer: int | None = None
    ) -> Thread:
        def resumed(thread: Thread) -> list[e.AnyEvent]:
            _refuse(thread, ENDED)
            if thread.session.paused is None:
                return []
            if thread.session.spent and more == e.Budget():
                raise Conflict(f"{thread.session.paused}: resume it with `more` of it")
            return [e.SessionResumed(at=self.clock(), by=by, more=more)]

        return await self.change(session_id, resumed, payer=payer)

    async def cancel(self, session_id: str, *, by: str, reason: str = "") -> Thread:
        def cancelled(thread: Thread) -> list[e.AnyEvent]:
            cancelled = e.SessionCancelled(at=self.clock(), by=by, reason=reason)
            return [] if thread.session.ended else [cancelled]

        return await self.change(session_id, cancelled)

    async def fork(
        self, session_id: str, *, at: int | None = None, key_id: int | None = None
    ) -> str:
        """A new session with the events up to there; a call that was about to run does not."""
        summary = await self.summary(session_id)
        events = [s.event async for s in self._all_events(session_id)]
        if at is None:  # an end is not what is asked for
            at = next(n for n in range(len(events), 0, -1) if not isinstance(events[n - 1], ENDS))
        if not 1 <= at <= len(events):
            raise NotFound(f"session {session_id} has no event {at}: its last is {len(events)}")
        events = [events[0].model_copy(update={"forked_from": f"{session_id}@{at}"}), *events[1:at]]
        thread = Thread.of(str(uuid4()), events, lane=summary.lane)
        stopped = [
            e.ToolFailed(at=self.clock(), call_id=call.call.id, error="not run in this fork")
            for call in thread.session.open.values()
            if call.permission == "auto"
        ]
        thread = thread.after(*stopped)
        await self.sessions.start(
            thread,
            [*events, *stopped],
            metadata=summary.metadata,
            whose=Whose(summary.owner, key_id),
            parent=session_id,
        )
        await self._enqueue(thread)
        return thread.id

    async def history(self, session_id: str) -> list[Exchange]:
        await self.summary(session_id)
        return exchanges([stored async for stored in self._all_events(session_id)])

    async def events(self, session_id: str, *, after: int, limit: int) -> list[Stored]:
        """What is stored after that place."""
        events = await self.sessions.events(session_id, after=after, limit=limit)
        if not events:
            await self.summary(session_id)
        return events

    async def check_owner(self, session_id: str, owner: str) -> None:
        """To all others it does not exist."""
        if not await self.sessions.belongs(session_id, owner=owner):
            raise _unknown(session_id)

    async def summary(self, session_id: str) -> Summary:
        if summary := await self.sessions.summary(session_id):
            return summary
        raise _unknown(session_id)

    async def thread(self, session_id: str) -> Thread:
        if thread := await self.sessions.load(session_id):
            return thread
        raise _unknown(session_id)

    async def delete(self, session_id: str) -> None:
        if not await self.sessions.delete(session_id):
            raise _unknown(session_id)
        self.live.tell(session_id, 0)

    async def change(self, session_id: str, decide: Decide, *, payer: int | None = None) -> Thread:
        """Appends what is decided on the session as it is, however many others change it too."""
        async for _ in _tries():
            thread = await self.thread(session_id)
            events = decide(thread)
            if not events or await self._append(thread, events, payer=payer):
                return thread.after(*events)
        raise _busy(session_id)

    async def _append(
        self,
        thread: Thread,
        events: Sequence[e.AnyEvent],
        *,
        key: str | None = None,
        payer: int | None = None,
    ) -> bool:
        if not await self.sessions.append(thread, *events, key=key, payer=payer):
            return False
        await self._spread(thread, events)
        return True

    async def _spread(self, thread: Thread, events: Sequence[e.AnyEvent]) -> None:
        """Whoever watches, and whoever works, hears of what was stored."""
        self.on_append(thread, events)
        self.live.tell(thread.id, thread.seq + len(events))
        await self._enqueue(thread.after(*events))

    async def _enqueue(self, thread: Thread) -> None:
        """Its row is the outbox: a broker that is down only delays the work."""
        if thread.session.status != "ready":
            return
        try:
            await self.queue.send(ADVANCE, lane=thread.lane, session_id=thread.id)
        except Unavailable as error:
            extra = {"session": thread.id, "error": str(error)}
            log.warning("session left to the sweeper", extra=extra)

    async def _reply(self, session_id: str, seq: int) -> Reply:
        thread = await self.thread(session_id)
        told = exchanges([s async for s in self._all_events(session_id, after=seq - 1)])
        if not told:
            raise _unknown(session_id)
        answered = (exchange for exchange in told if exchange.response is not None)
        exchange = next(answered, told[0])  # one answer may be to several messages
        if exchange.response is not None and thread.session.status == "ready":
            thread = await self.thread(session_id)  # of before the answer
        return Reply(exchange, thread)

    async def _all_events(self, session_id: str, *, after: int = 0) -> AsyncIterator[Stored]:
        while True:
            page = await self.sessions.events(session_id, after=after, limit=PAGE)
            for stored in page:
                yield stored
            if len(page) < PAGE:
                return
            after = page[-1].seq


async def _tries() -> AsyncIterator[None]:
    """After longer and longer waits: the many writers of one session get in each other's way."""
    for number in range(TRIES):
        yield
        await asyncio.sleep(uniform(0, number * TRY_SECONDS))  # noqa: S311


async def more_stored(watch: Watch, until: float) -> None:
    """Returns when the store is worth a look: text that streams by is not in it."""
    while (left := until - monotonic()) > 0:
        news = await watch.next(left)
        if news is None or not news.text:
            return


def _refuse(thread: Thread, states: Mapping[str, str]) -> None:
    if why := states.get(status := thread.session.status):
        raise Conflict(f"session {thread.id} is {status}: {why}")


def _refuse_pile(thread: Thread) -> None:
    """All that the model has not heard yet is read again for each message and each step."""
    unheard = thread.events[max(thread.session.seen - thread.base, 0) :]
    said = [event.text for event in unheard if isinstance(event, e.UserSpoke)]
    if len(said) >= MOST_UNHEARD or sum(map(len, said)) > MOST_UNHEARD_TEXT:
        raise Conflict(
            f"session {thread.id} has {len(said)} messages that were not answered yet: "
            "say more when it has answered"
        )


def _decided_before(thread: Thread, request_id: str, same: Collection[str]) -> list[e.AnyEvent]:
    """Nothing to append, where the decision was this one."""
    if (decision := thread.session.decided.get(request_id)) is None:
        raise NotFound(
            f"session {thread.id} has no request {request_id!r} that waits for a decision: "
            f"GET /chat/sessions/{thread.id} says what does"
        )
    if decision not in same:
        raise Conflict(f"request {request_id} of session {thread.id} has been decided otherwise")
    return []


def _same(known: Stored, text: str, key: str) -> int:
    if not isinstance(known.event, e.UserSpoke) or known.event.text != text:
        raise Conflict(f"the idempotency key {key!r} was sent with another message: send a new one")
    return known.seq


def _unknown(session_id: str) -> NotFound:
    return NotFound(f"session {session_id} does not exist: POST /chat/sessions makes one")


def _busy(session_id: str) -> Unavailable:
    return Unavailable(f"session {session_id} changes too fast: try again")

"""Tells recipients what they have not been told, in order, at least once and never twice visibly.

A try is counted before it is made. So whoever goes on after a process that died knows that it may
have arrived, and says so to the channel, which looks before it says it again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from time import monotonic

from .agent import events as e
from .agent.history import Stored
from .agent.session import Thread
from .channels import (
    Address,
    Asked,
    Channel,
    Channels,
    Kind,
    Notice,
    Recipient,
    Undeliverable,
    asked,
)
from .errors import Unavailable
from .ports import Queue

log = logging.getLogger(__name__)

DELIVER = "channels.deliver"
LIMIT, PAGE = 500, 200
REDRAWN = frozenset({"slack"})
"""Channels where what was asked is changed to show what was decided, whoever decided it."""
TRY_SECONDS, RUN_SECONDS = 30.0, 60.0
MOST_TRIES, LONGEST_WAIT = 24, 3600
AT_ONCE = timedelta(0)
Count = Callable[[str, str], None]
Told = tuple[Kind, str, Asked | None]


class NotNow(Exception):
    """The notice goes out later, and all that come after it."""

    def __init__(self, error: Unavailable) -> None:
        super().__init__(str(error))
        self.retry_after = error.retry_after or 0


@dataclass(kw_only=True)
class Deliverer:
    channels: Channels
    ways: Mapping[str, Callable[[], Channel]]
    """How each channel that is turned on is made; the first notice for it does."""
    queue: Queue
    owner: Callable[[], int]
    """The id under which this process holds its leases."""
    public_url: str = ""
    on_outcome: Count = lambda *_: None
    """Told the channel, and whether it was delivered, put off or died."""
    _made: dict[str, Channel] = field(default_factory=dict, init=False)

    async def sweep(self) -> int:
        """Has workers tell what there is to tell; how many recipients."""
        if not self.ways:
            return 0
        recipients, approvals = self.channels.recipients, self.channels.approvals_to
        if approvals:
            await recipients.invite(list(approvals))
        due = await recipients.claim_due(limit=LIMIT)
        for number, (session_id, channel, place, lane) in enumerate(due):
            told = {"session_id": session_id, "channel": channel, "place": place}
            try:
                await self.queue.send(DELIVER, lane=lane, **told)
            except Unavailable:
                await recipients.put_back(due[number:])
                raise
        return len(due)

    async def deliver(self, session_id: str, channel: str, place: str) -> None:
        """Tells this recipient all that it was not told yet; where another does, nothing."""
        recipient = await self.channels.recipients.claim(
            session_id, channel, place, owner=self.owner()
        )
        if recipient is None:
            return
        run = _Run(recipient)
        try:
            await self._tell(run)
        except NotNow as later:
            log.warning("notice put off", extra=_named(run) | {"error": str(later)})
            wait = max(later.retry_after, min(2 ** (run.recipient.tries + 1), LONGEST_WAIT))
            await self._release(run, timedelta(seconds=wait))
        except BaseException:
            await asyncio.shield(self._release(run, timedelta(seconds=1)))
            raise
        else:
            await self._release(run, AT_ONCE if run.is_over else None)

    async def close(self) -> None:
        for channel in self._made.values():
            await channel.close()

    async def _release(self, run: "_Run", wake_in: timedelta | None) -> None:
        await self.channels.recipients.release(run.recipient, told=run.told, wake_in=wake_in)

    async def _tell(self, run: "_Run") -> None:
        if (thread := await self.channels.service.sessions.load(run.recipient.session_id)) is None:
            return
        for seq in await self.channels.recipients.wanted(run.recipient):
            await self._say_again(run, thread, seq)
            if run.is_over:
                return
        async for stored in self._news(run, thread):
            if notice := self._notice(run, thread, stored):
                await self._say(run, notice, stored.seq)
            run.told = stored.seq
            if run.is_over:
                return

    async def _news(self, run: "_Run", thread: Thread) -> AsyncIterator[Stored]:
        """What is stored after what was told, and known to this state of the session."""
        sessions = self.channels.service.sessions
        while page := await sessions.events(thread.id, after=run.told, limit=PAGE):
            for stored in page:
                if stored.seq > thread.seq:
                    return
                yield stored

    async def _say(self, run: "_Run", notice: Notice, seq: int) -> None:
        try:
            moved = await self._try(notice, last=run.recipient.tries + 1 >= MOST_TRIES)
        except Undeliverable as error:
            await self._bury(run, notice, seq, str(error))
            moved = None
        else:
            self.on_outcome(notice.address.channel, "delivered")
        run.told = seq
        if not await self.channels.recipients.note(run.recipient, told=seq, moved=moved):
            run.until = 0
        run.recipient = replace(run.recipient, address=moved or notice.address, tries=0)

    async def _say_again(self, run: "_Run", thread: Thread, seq: int) -> None:
        """Once: whoever wants that looks at what comes of it."""
        (stored,) = await self.channels.service.events(thread.id, after=seq - 1, limit=1)
        if notice := self._notice(run, thread, stored):
            try:
                await self._try(replace(notice, tried=True), last=True)
            except Undeliverable as error:
                await self._bury(run, notice, seq, str(error))
                return
            self.on_outcome(notice.address.channel, "delivered")
        await self.channels.recipients.revived(run.recipient, seq=seq)

    async def _try(self, notice: Notice, *, last: bool) -> Address | None:
        """Where the conversation goes on from there, if that is elsewhere."""
        try:
            async with asyncio.timeout(TRY_SECONDS):
                return await self.way(notice.address.channel).deliver(notice)
        except TimeoutError:
            fault = Unavailable(f"no answer within {TRY_SECONDS:g} s")
        except Unavailable as error:
            fault = error
        except Undeliverable:
            raise
        except Exception as error:  # a fault of ours, and no reason to say it to nobody
            log.exception("notice stumbled", extra={"key": notice.key})
            fault = Unavailable(type(error).__name__)
        if last:
            raise Undeliverable(f"given up after so many tries: {fault}")
        self.on_outcome(notice.address.channel, "put off")
        raise NotNow(fault)

    def way(self, name: str) -> Channel:
        if name not in self._made:
            if name not in self.ways:
                raise Unavailable(f"channel {name} is not turned on here")
            self._made[name] = self.ways[name]()
        return self._made[name]

    async def _bury(self, run: "_Run", notice: Notice, seq: int, reason: str) -> None:
        self.on_outcome(notice.address.channel, "died")
        log.error("notice died", extra=_named(run) | {"seq": seq, "error": reason})
        recipients = self.channels.recipients
        await recipients.bury(run.recipient, seq=seq, kind=notice.kind, reason=reason)

    def _notice(self, run: "_Run", thread: Thread, stored: Stored) -> Notice | None:
        """What is to be said of this event, if anything, to this recipient."""
        recipient, event = run.recipient, stored.event
        told = _decision(event, thread) or (_outcome(event) if recipient.is_origin else None)
        if told is None and recipient.address.channel in REDRAWN:
            told = _decided(event)
        if isinstance(event, e.ToolRequested) and told is None:
            run.unseen.add(event.call.id)
        if told is None or getattr(event, "call_id", "") in run.unseen:
            return None
        kind, text, request = told
        code = self.channels.code(recipient, event) if isinstance(event, e.ToolRequested) else ""
        return Notice(
            key=_key(recipient, stored.seq),
            address=recipient.address,
            kind=kind,
            text=text,
            session_id=thread.id,
            request=request,
            code=code,
            link=f"{self.public_url.rstrip('/')}/decide/{code}" * bool(code and self.public_url),
            tried=recipient.tries > 0,
        )


@dataclass
class _Run:
    """One claim of a recipient: how far it has come, and when it is long enough."""

    recipient: Recipient
    told: int = field(init=False)
    unseen: set[str] = field(default_factory=set)
    """Requests that were over before this recipient was told: what came of them is no news."""
    until: float = field(default_factory=lambda: monotonic() + RUN_SECONDS)

    def __post_init__(self) -> None:
        self.told = self.recipient.told

    @property
    def is_over(self) -> bool:
        return monotonic() > self.until


def _decision(event: e.AnyEvent, thread: Thread) -> Told | None:
    """What all recipients are told; a request that has been decided is no news."""
    match event:
        case e.DecisionTimedOut():
            return "trouble", f"Nobody has decided on {event.call_id} in time.", None
        case e.ToolRequested() if event.call.id in {c.call.id for c in thread.session.pending}:
            call = f"{event.call.tool} {e.as_json(event.call.arguments)}"
            if event.permission == "answer":
                question = event.reason or event.call.arguments.get("question") or call
                return "question", str(question), asked(event)
            return "approval", f"May I call {call}{_because(event.reason)}", asked(event)
    return None


def _decided(event: e.AnyEvent) -> Told | None:
    """What is told where the request that was asked is shown still."""
    match event:
        case e.ToolApproved():
            said = f"Approved by {event.by}{_because(event.comment)}"
        case e.ToolDenied():
            said = f"Refused by {event.by}{_because(event.comment)}"
        case e.PersonAnswered():
            said = f"Answered by {event.by}{_because(event.answer)}"
        case _:
            return None
    return "decided", said, Asked(event.call_id, "", {})


def _outcome(event: e.AnyEvent) -> Told | None:
    """What only the origin is told."""
    match event:
        case e.AgentAnswered():
            return "answer", event.text, None
        case e.SessionFailed():
            return "trouble", f"This has failed{_because(event.reason)}", None
        case e.SessionPaused():
            return "trouble", f"This is paused{_because(event.reason)}", None
        case e.SessionCancelled():
            return "trouble", f"{event.by} has cancelled this{_because(event.reason)}", None
    return None


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _key(recipient: Recipient, seq: int) -> str:
    """The same at each try, and for no two notices."""
    whom = sha256(recipient.name.encode()).hexdigest()[:16]
    return f"{recipient.session_id}-{seq}-{whom}"


def _named(run: _Run) -> dict[str, str]:
    return {"session": run.recipient.session_id, "recipient": run.recipient.name}

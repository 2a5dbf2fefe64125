"""Where people are reached beside the API: a message comes in, and what comes of it goes back.

A session knows its recipients: the thread that it came from, and those of APPROVALS_TO. Each knows
up to which event it was told, so that the store itself is the outbox.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from uuid import UUID, uuid5

from . import codes
from .agent.events import ToolRequested
from .agent.session import Thread
from .errors import AppError, Conflict, Forbidden, NotFound
from .ports import Whose
from .schedules import Schedule
from .service import OPERATOR, Service

Kind = Literal["answer", "approval", "question", "trouble", "decided"]
THREADS = UUID("1b0b7c52-5a4e-4a42-9f0c-0d1d3f5b6a90")
"""Two processes that get one message make one session of its thread."""
UNKNOWN = "this code is not good, or not any more: nothing was decided"
ENDED = ("failed", "cancelled")


class Undeliverable(AppError):
    """It never will be, however often it is tried: a dead letter, with this reason."""

    status = 502
    title = "Not deliverable"


@dataclass(frozen=True)
class Address:
    """A conversation outside."""

    channel: str
    thread: str
    """Names the conversation on that channel, the same for every message of it. Of a recipient from
    the settings, as in slack:C0123, what stands behind the colon: there it begins one."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the channel wants to know when it answers; JSON."""

    @property
    def joining(self) -> "Address":
        """Of one who joins: what is sent `to` somebody stays with whoever began."""
        return replace(self, details={k: v for k, v in self.details.items() if k != "to"})

    @classmethod
    def of(cls, name: str) -> "Address":
        """As the settings name it: slack:C0123, mail:ops@example.com."""
        channel, _, thread = name.partition(":")
        return cls(channel, thread)


@dataclass(frozen=True)
class Asked:
    """A request that waits for a decision."""

    id: str
    tool: str
    arguments: Mapping[str, Any]
    reason: str = ""
    permission: str = "ask"
    decided: str = ""
    """How, once it has been."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What a recipient is to be told."""

    key: str
    """The same at each try: letters, digits and hyphens."""
    address: Address
    kind: Kind
    text: str
    session_id: str
    request: Asked | None = None
    code: str = ""
    """With it this recipient decides; empty where others do, and this one is only told."""
    link: str = ""
    """To the page where the code is used; empty where PUBLIC_URL is."""
    tried: bool = False
    """An earlier try may have arrived: look before it is said again."""


class Channel(Protocol):
    """A way out. `deliver` raises Unavailable to be tried again later, or Undeliverable."""

    name: str

    async def deliver(self, notice: Notice) -> Address | None:
        """Where the conversation goes on, if that is not where the notice was addressed to."""

    async def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """Who is told of a session, and how far."""

    session_id: str
    place: str
    """Where it was addressed to first; unlike its thread that never changes."""
    address: Address
    is_origin: bool
    is_guest: bool = False
    """It has joined what another began: it is told, and decides nothing."""
    told: int = 0
    tries: int = 0
    """Of the next notice, those before this one."""
    owner: int = 0
    """The process that holds it."""

    @property
    def name(self) -> str:
        return f"{self.address.channel}:{self.place}"


class Recipients(Protocol):
    """Who is told what, in the same store as the sessions."""

    async def session_of(self, address: Address, *, key: str) -> str | None:
        """That of this thread: the one that knows the key, or came from it, or else the newest."""

    async def follow(self, session_id: str, address: Address) -> None:
        """It is told of the session from its beginning; its details are the newest."""

    async def join(self, session_id: str, address: Address, *, is_guest: bool) -> None:
        """The same, but it is told only what comes from now on."""

    async def of(self, session_id: str) -> list[Recipient]: ...
    async def request(self, session_id: str, request_id: str) -> ToolRequested | None: ...

    async def invite(self, names: Sequence[str]) -> None:
        """These are told too, of each session that waits for a decision."""

    async def claim_due(self, *, limit: int) -> list[tuple[str, str, str, str]]:
        """Who may have to be told something: session, channel, place, and the session's lane."""

    async def put_back(self, due: Sequence[tuple[str, str, str, str]]) -> None:
        """What was claimed as due and could not be queued: it is still."""

    async def claim(
        self, session_id: str, channel: str, place: str, *, owner: int
    ) -> Recipient | None:
        """Leased to this process, one more try counted; None where another tells it."""

    async def wanted(self, recipient: Recipient) -> list[int]:
        """The events of dead letters that somebody wants to be sent again."""

    async def note(self, recipient: Recipient, *, told: int, moved: Address | None) -> bool:
        """Told up to there, and where the conversation goes on, if that is elsewhere; False where
        another has taken the recipient over.
        """

    async def bury(self, recipient: Recipient, *, seq: int, kind: Kind, reason: str) -> None: ...
    async def revived(self, recipient: Recipient, *, seq: int) -> None: ...

    async def release(
        self, recipient: Recipient, *, told: int, wake_in: timedelta | None = None
    ) -> None:
        """Told so far; without a time, looked at again when there is news."""

    async def letters(self, *, limit: int) -> list[dict[str, Any]]:
        """The dead ones, the newest first."""

    async def revive(self, ids: Sequence[int]) -> int:
        """Dead letters to be sent again; how many of these there are."""


@dataclass(frozen=True, kw_only=True)
class Channels:
    service: Service
    recipients: Recipients
    keys: Sequence[str]
    """What makes codes: the newest first."""
    approvals_to: Collection[str] = ()
    """Who decides, as in slack:C0123; empty: whoever asked."""

    async def receive(  # noqa: PLR0913
        self,
        address: Address,
        *,
        text: str,
        key: str,
        by: str,
        agent: str | None = None,
        owner: str = OPERATOR.owner,
        metadata: dict[str, Any] | None = None,
    ) -> str:
        """The id of the session that this thread is, started or continued; a key counts once.

        A thread whose session has ended begins another one.
        """
        known = await self.recipients.session_of(address, key=key)
        session_id = known or str(uuid5(THREADS, f"{address.channel}:{address.thread}"))
        new: dict[str, Any] = {"agent": agent, "metadata": metadata, "whose": Whose(owner)}
        for _ in range(2):
            try:
                if known:
                    await self.recipients.follow(session_id, address.joining)
                    await self.service.say(session_id, text, by=by, key=key)
                else:
                    await self.service.begin(text, by=by, key=key, session_id=session_id, **new)
                    await self.recipients.follow(session_id, address)
            except Conflict:
                if (await self.service.thread(session_id)).session.status not in ENDED:
                    raise
                known, session_id = None, str(uuid5(THREADS, session_id))
            else:
                break
        return session_id

    async def follow(self, session_id: str, address: Address, *, is_guest: bool = False) -> None:
        """What comes of this session from now on is told there as well."""
        await self.recipients.join(session_id, address, is_guest=is_guest)

    async def begin(self, schedule: Schedule, *, due: datetime) -> str:
        """The session of that time, however often and by whomever it is begun."""
        session_id = schedule.session_at(due)
        await self.service.start(session_id=session_id, metadata={"schedule": schedule.cron})
        if schedule.to:
            await self.recipients.follow(session_id, Address.of(schedule.to))
        await self.service.say(session_id, schedule.text, by="schedule", key=session_id)
        return session_id

    async def asked(self, code: str) -> Asked:
        """What this code decides on, or decided; NotFound for one that is none of ours."""
        request, _, thread = await self._read(code)
        decided = thread.session.decided.get(request.call.id, "")
        return replace(asked(request), decided=decided)

    async def decide(  # noqa: PLR0913
        self,
        code: str,
        *,
        approved: bool,
        by: str = "",
        comment: str = "",
        answer: str | None = None,
        to: str = "",
    ) -> str:
        """Decides what the code was given for; the session's id. A code that is forged, or for
        other arguments or another recipient: NotFound. One that was used otherwise: Conflict.

        `by` as in slack:U123; empty: whoever the code was given to. `to` as for `holder`.
        """
        request, recipient, thread = await self._read(code, to=to)
        asks = request.permission == "ask"
        if asks and answer is not None:
            raise Conflict("this is no question: approve or refuse it")
        if asks and not by and recipient.is_origin and self.service.four_eyes:
            raise Forbidden("another than who asked has to approve, and a link does not say who")
        await self.service.decide(
            thread.id,
            request.call.id,
            approved=approved,
            by=by or recipient.name,
            comment=comment,
            answer=answer or None,
        )
        return thread.id

    async def holder(self, code: str, *, to: str = "") -> Recipient:
        """To whom this code was given; NotFound for one that is none of ours, or that was sent to
        another address than `to`. Empty: whoever has it may use it.
        """
        return (await self._read(code, to=to))[1]

    def code(self, recipient: Recipient, request: ToolRequested) -> str:
        """Empty where this recipient is not who decides."""
        if not self._may_decide(recipient, request):
            return ""
        return codes.make(_bond(recipient, request), self.keys[0])

    def _may_decide(self, recipient: Recipient, request: ToolRequested) -> bool:
        """Whoever is asked for approval by the settings; the origin where these name nobody."""
        if recipient.name in self.approvals_to:
            return True
        is_asked = recipient.is_origin and not recipient.is_guest
        return is_asked and not (request.permission == "ask" and self.approvals_to)

    async def _read(self, code: str, *, to: str = "") -> tuple[ToolRequested, Recipient, Thread]:
        """What the code is bound to; whatever is wrong with it is answered alike."""
        session_id, request_id = codes.named(code) or ("", "")
        request = await self.recipients.request(session_id, request_id) if session_id else None
        if request:
            for recipient in await self.recipients.of(session_id):
                if codes.proves(code, _bond(recipient, request, to), self.keys):
                    if not self._may_decide(recipient, request):
                        break
                    return request, recipient, await self.service.thread(session_id)
        raise NotFound(UNKNOWN)


def visible(text: str) -> str:
    """Nothing hides in what a person is to decide, or turns its direction: it is written out."""
    return "".join(
        character
        if character.isprintable() or character == "\n"
        else character.encode("unicode_escape").decode()
        for character in text
    )


def asked(request: ToolRequested) -> Asked:
    call = request.call
    return Asked(call.id, call.tool, call.arguments, request.reason, request.permission)


def _bond(recipient: Recipient, request: ToolRequested, to: str = "") -> codes.Bond:
    """In a thread of several people it is sent to one of them, and given to nobody else."""
    to = (to or str(recipient.address.details.get("to") or recipient.place)).lower()
    is_one = to != recipient.place.lower()
    return codes.Bond(
        session_id=recipient.session_id,
        request_id=request.call.id,
        tool=request.call.tool,
        arguments=request.call.arguments,
        recipient=f"{recipient.name} {to}" if is_one else recipient.name,
    )

"""The tools that this service offers as an MCP server: the use cases of the HTTP API, to a model.

They are imported by the first client that asks; until then they cost a process nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import cleandoc
from time import monotonic
from typing import Annotated, Any, get_type_hints
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from ...agent.session import Status, Thread
from ...errors import Conflict
from ...ports import Allowances, Caller
from ...ports import Scope as Right
from ...service import LOOK_SECONDS, Service, more_stored
from ...telemetry.logs import session
from . import bodies, shapes
from .chat import LAST_PLACE
from .prefer import DEFAULT_SECONDS, MOST_SECONDS

AT_WORK = "It is still at work: `read` the session after {seq} and wait."
ASKS = "A person has to decide what is in `pending`: `approve`, `refuse` or `answer` it."


@dataclass(frozen=True)
class Door:
    """Who asks, and what for."""

    service: Service
    caller: Caller
    allowances: Allowances
    stopping: Callable[[], bool]

    async def enter(self, session_id: UUID) -> str:
        """A session of the caller's own: another's is as good as none."""
        session.set(str(session_id))
        await self.service.check_owner(str(session_id), self.caller.owner)
        return str(session_id)


@dataclass(frozen=True)
class Offer:
    name: str
    act: Callable[[Door, Any], Awaitable[BaseModel]]
    takes: type[BaseModel]
    gives: type[BaseModel]
    right: Right
    hints: dict[str, bool]

    def described(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": cleandoc(self.act.__doc__ or ""),
            "inputSchema": self.takes.model_json_schema(),
            "outputSchema": self.gives.model_json_schema(mode="serialization"),
            "annotations": {"openWorldHint": False} | self.hints,
        }


OFFERS: dict[str, Offer] = {}
Act = Callable[[Door, Any], Awaitable[BaseModel]]


def offer(right: Right, **hints: bool) -> Callable[[Act], Act]:
    """Offers the function under its name, to keys with this scope."""

    def offered(act: Act) -> Act:
        known = get_type_hints(act)
        name = act.__name__
        OFFERS[name] = Offer(name, act, known["given"], known["return"], right, hints)
        return act

    return offered


class Given(bodies.Body):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Start(Given):
    agent: Annotated[str | None, Field(max_length=64)] = None
    """Which agent to talk to; without it, the usual one."""
    metadata: bodies.Metadata = Field(default_factory=dict)
    """Whatever you want to find again with the session."""


class OfSession(Given):
    session_id: UUID
    """As `start` gave it."""


Wait = Annotated[int, Field(ge=0, le=MOST_SECONDS)]


class Say(OfSession):
    text: bodies.Text
    """What the agent is told."""
    wait_seconds: Wait = DEFAULT_SECONDS
    """So long it may take; then `read` tells what came of it."""
    key: Annotated[str | None, Field(max_length=255, pattern="^[ -~]+$")] = None
    """Of your choice, in ASCII: sent again with the same key, it is said once."""


class Read(OfSession):
    after: Annotated[int, Field(ge=0, le=LAST_PLACE)] = 0
    """Only what happened after this place."""
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    """At most so many events."""
    wait_seconds: Wait = 0
    """So long to wait for the agent, where it is at work."""


class OfRequest(OfSession):
    request_id: Annotated[str, Field(max_length=64)]
    """As it stands in `pending`."""


class Comment(OfRequest):
    comment: bodies.Remark = ""
    """The agent reads it."""


class Answer(OfRequest):
    text: bodies.Text
    """What the person says to the question."""


class Said(shapes.Told):
    seq: int
    """The place of the message."""
    hint: str
    """What to do now; empty where it is answered."""


class Happened(BaseModel):
    """An event: what else is in it depends on its kind."""

    model_config = ConfigDict(extra="allow")

    seq: int
    kind: str
    at: str


class Seen(BaseModel):
    session_id: str
    agent: str
    status: Status
    pending: list[shapes.Pending]
    events: list[Happened]
    next: int | None
    """Where there are more events: what to `read` them after."""


@offer("chat", readOnlyHint=False, destructiveHint=False, idempotentHint=False)
async def start(door: Door, given: Start) -> shapes.Started:
    """Start a session with an agent."""
    await door.allowances.take_message(door.caller)
    whose = door.caller.whose
    return shapes.Started(
        session_id=await door.service.start(agent=given.agent, metadata=given.metadata, whose=whose)
    )


@offer("chat", readOnlyHint=False, destructiveHint=False, idempotentHint=False)
async def say(door: Door, given: Say) -> Said:
    """Say something in a session, and wait for what comes of it."""
    session_id, caller = await door.enter(given.session_id), door.caller
    await door.allowances.take_message(caller)
    seq = await door.service.say(
        session_id, given.text, by=caller.name, key=given.key, payer=caller.key_id
    )
    reply = await door.service.reply(
        session_id, seq, seconds=given.wait_seconds, stopping=door.stopping
    )
    told = shapes.Told.of(reply)
    hint = ASKS if told.pending else "" if reply.is_settled else AT_WORK.format(seq=seq)
    return Said(**dict(told), seq=seq, hint=hint)


@offer("chat", readOnlyHint=True)
async def read(door: Door, given: Read) -> Seen:
    """Read where a session stands, what waits for a person, and what has happened."""
    session_id = await door.enter(given.session_id)
    thread = await _rested(door, session_id, given.wait_seconds)
    found = await door.service.events(session_id, after=given.after, limit=given.limit + 1)
    page = found[: given.limit]
    return Seen(
        session_id=session_id,
        agent=thread.session.agent,
        status=thread.session.status,
        pending=shapes.Pending.all_of(thread),
        events=[Happened(seq=s.seq, **s.event.model_dump(mode="json")) for s in page],
        next=page[-1].seq if len(found) > given.limit else None,
    )


@offer("approve", readOnlyHint=False, destructiveHint=True, idempotentHint=True)
async def approve(door: Door, given: Comment) -> shapes.Standing:
    """Let an agent do what it asks for, with exactly the arguments in `pending`: only where a
    person who has seen them wants it.
    """
    return await _decided(door, given, approved=True, comment=given.comment)


@offer("approve", readOnlyHint=False, destructiveHint=False, idempotentHint=True)
async def refuse(door: Door, given: Comment) -> shapes.Standing:
    """Refuse an agent what it asks for, or to answer its question."""
    return await _decided(door, given, approved=False, comment=given.comment)


@offer("approve", readOnlyHint=False, destructiveHint=False, idempotentHint=True)
async def answer(door: Door, given: Answer) -> shapes.Standing:
    """Answer the question of an agent with what a person says."""
    thread = await door.service.thread(await door.enter(given.session_id))
    known = thread.session.open.get(given.request_id)
    if known and known.permission == "ask":  # an answer must not pass for an approval
        raise Conflict(f"request {given.request_id} is no question: `approve` or `refuse` it")
    return await _decided(door, given, approved=True, answer=given.text)


async def _decided(
    door: Door, given: OfRequest, *, approved: bool, comment: str = "", answer: str | None = None
) -> shapes.Standing:
    thread = await door.service.decide(
        await door.enter(given.session_id),
        given.request_id,
        approved=approved,
        by=door.caller.name,
        comment=comment,
        answer=answer,
    )
    return shapes.Standing.of(thread)


async def _rested(door: Door, session_id: str, seconds: float) -> Thread:
    """The session once nothing is at work in it, or the time is over."""
    until = monotonic() + seconds
    async with door.service.live.watch(session_id) as watch:
        while True:
            thread = await door.service.thread(session_id)
            is_over = monotonic() >= until or door.stopping()
            if thread.session.status != "ready" or is_over:
                return thread
            await more_stored(watch, min(until, monotonic() + LOOK_SECONDS))

"""Everything that can happen in a session: the schema of the store, the API and the tests.

Events are facts: frozen, in the past tense, never changed once stored. A field that changes its
meaning makes a new version of its event, and an upcaster that reads the old one, for ever.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from json import JSONEncoder
from math import isfinite
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import from_json

from ..errors import NewerRelease

SCHEMA = 1
"""Raised with every new kind or version: an older worker leaves newer sessions alone."""


def storable(value: object) -> object:
    """PostgreSQL's JSON takes no NUL, no half of a surrogate pair and no NaN; models send all."""
    match value:
        case str():
            if value.isascii() and "\0" not in value:
                return value
            utf16 = value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass")
            return utf16.decode("utf-16", "replace")
        case float() if not isfinite(value):
            return str(value)
        case dict():
            return {storable(key): storable(item) for key, item in value.items()}
        case list() | tuple():
            return [storable(item) for item in value]
    return value


ENCODE = JSONEncoder(ensure_ascii=False, sort_keys=True).encode
Text = Annotated[str, BeforeValidator(storable)]
Json = Annotated[Any, BeforeValidator(storable)]
Data = Annotated[dict[str, Any], BeforeValidator(storable)]


def as_json(value: Any) -> str:
    """As a model reads it: text as it is, all else in one way only."""
    return value if isinstance(value, str) else ENCODE(value)


def size_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


class Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Event(Part):
    at: datetime


class CallEvent(Event):
    call_id: Text


class Amounts(Part):
    def __add__(self, other: Self) -> Self:
        names = type(self).model_fields
        return type(self)(**{name: getattr(self, name) + getattr(other, name) for name in names})


class Usage(Amounts):
    """What a model call took."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: Decimal = Decimal(0)

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class Call(Part):
    """A tool that the model wants called. The id is ours, and the same in every process."""

    id: Text
    tool: Text
    arguments: Data


class Task(Part):
    """An item of a plan; it waits for those that it comes after."""

    id: Text
    title: Text
    after: tuple[Text, ...] = ()
    status: Literal["open", "done", "dropped"] = "open"


class Budget(Amounts):
    """What a session may spend; or, on a resume, what is added to that."""

    steps: int = Field(0, ge=0)
    tokens: int = Field(0, ge=0)
    cost: Decimal = Field(Decimal(0), ge=0)
    seconds: float = Field(0, ge=0, allow_inf_nan=False)


class SessionStarted(Event):
    kind: Literal["session_started"] = "session_started"
    agent: Text
    prompt: Text
    """The version of the prompt, pinned: a release changes no conversation under way."""
    metadata: Data = {}
    forked_from: str | None = None


class UserSpoke(Event):
    kind: Literal["user_spoke"] = "user_spoke"
    text: Text
    by: Text = ""
    trace: Text = ""
    """A W3C traceparent: what comes of it is part of this trace, whoever does it."""


class FactsFetched(Event):
    """What the agent would surely ask for, fetched before it asks (factor A13)."""

    kind: Literal["facts_fetched"] = "facts_fetched"
    facts: Data


class ModelAnswered(Event):
    """One call of the model: some text, or tools that it wants called."""

    kind: Literal["model_answered"] = "model_answered"
    purpose: Literal["think", "plan", "reflect"] = "think"
    seen: int
    """The last event that it was shown; what came later waits for the next call."""
    text: Text = ""
    calls: tuple[Call, ...] = ()
    model: Text
    usage: Usage = Usage()
    seconds: float = 0
    cut: bool = False
    """What it was shown did not fit: the longest texts were cut."""


class ModelFailed(Event):
    kind: Literal["model_failed"] = "model_failed"
    error: Text
    seconds: float = 0
    wait: float = 0
    """Seconds that the provider asks to be left alone."""


class ToolRequested(Event):
    """The intent, stored before the act. `ask`: a person decides; `answer`: a person is it."""

    kind: Literal["tool_requested"] = "tool_requested"
    call: Call
    permission: Literal["auto", "ask", "answer"] = "auto"
    reason: Text = ""
    expires_at: datetime | None = None
    seen: int = 0
    """What was said up to there has to wait for this answer: the agent can't go on without."""


class ToolRefused(CallEvent):
    """A call that fits no tool; the model reads why and tries again (factor A4)."""

    kind: Literal["tool_refused"] = "tool_refused"
    error: Text


class ToolApproved(CallEvent):
    kind: Literal["tool_approved"] = "tool_approved"
    by: Text
    comment: Text = ""


class ToolDenied(CallEvent):
    kind: Literal["tool_denied"] = "tool_denied"
    by: Text
    comment: Text = ""


class PersonAnswered(CallEvent):
    kind: Literal["person_answered"] = "person_answered"
    by: Text
    answer: Text


class DecisionTimedOut(CallEvent):
    kind: Literal["decision_timed_out"] = "decision_timed_out"


class ToolStarted(CallEvent):
    """Only for a tool that must not run twice: without its end, nobody knows what it did."""

    kind: Literal["tool_started"] = "tool_started"


class ToolReturned(CallEvent):
    kind: Literal["tool_returned"] = "tool_returned"
    result: Json
    seconds: float = 0

    @cached_property
    def text(self) -> str:
        return as_json(self.result)


class ToolFailed(CallEvent):
    kind: Literal["tool_failed"] = "tool_failed"
    error: Text
    seconds: float = 0


class PlanMade(Event):
    kind: Literal["plan_made"] = "plan_made"
    tasks: tuple[Task, ...]


class Reflected(Event):
    kind: Literal["reflected"] = "reflected"
    text: Text


class AgentAnswered(Event):
    """The reply to the user; `done` when the agent says that its goal is reached."""

    kind: Literal["agent_answered"] = "agent_answered"
    text: Text
    done: bool = False
    call_id: str | None = None
    """The call of `finish` that it comes from, and ends."""


class ContextCompacted(Event):
    """What came before is summed up for the model; the events themselves stay."""

    kind: Literal["context_compacted"] = "context_compacted"
    summary: Text
    keep: int
    """So many of the events before this one are still shown whole."""
    state: Data
    """The session folded up to here, so that nothing older need be read again."""


class SessionPaused(Event):
    kind: Literal["session_paused"] = "session_paused"
    reason: Text
    by: Text | None = None
    spent: bool = False
    """A budget is spent: to go on takes a bigger one."""


class SessionResumed(Event):
    kind: Literal["session_resumed"] = "session_resumed"
    by: Text
    more: Budget = Budget()


class SessionCancelled(Event):
    kind: Literal["session_cancelled"] = "session_cancelled"
    by: Text
    reason: Text = ""


class SessionFailed(Event):
    kind: Literal["session_failed"] = "session_failed"
    reason: Text


AnyEvent = Annotated[
    SessionStarted
    | UserSpoke
    | FactsFetched
    | ModelAnswered
    | ModelFailed
    | ToolRequested
    | ToolRefused
    | ToolApproved
    | ToolDenied
    | PersonAnswered
    | DecisionTimedOut
    | ToolStarted
    | ToolReturned
    | ToolFailed
    | PlanMade
    | Reflected
    | AgentAnswered
    | ContextCompacted
    | SessionPaused
    | SessionResumed
    | SessionCancelled
    | SessionFailed,
    Field(discriminator="kind"),
]
ADAPTER: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: dict[tuple[str, int], Upcaster] = {}
"""(kind, version) → what makes the next version of it. They start at 1; none is forgotten."""


def version(kind: str) -> int:
    """The version in which an event of this kind is stored now."""
    return max((old + 1 for known, old in UPCASTERS if known == kind), default=1)


def read(stored: str, stored_as: int) -> AnyEvent:
    """The event from its JSON, however old the version that it was stored in."""
    try:
        event = _read(stored, stored_as)
    except ValidationError as error:
        kind = from_json(stored)["kind"]
        if stored_as <= version(kind) and error.errors()[0]["type"] != "union_tag_invalid":
            raise
    else:
        if stored_as <= version(kind := event.kind):
            return event
    raise NewerRelease(f"{kind} {stored_as} is an event of a newer release: ask a process of that")


def _read(stored: str, stored_as: int) -> AnyEvent:
    if all(old < stored_as for _, old in UPCASTERS):
        return ADAPTER.validate_json(stored)
    data = from_json(stored)
    for old in range(stored_as, version(data["kind"])):
        data = UPCASTERS[data["kind"], old](data)
    return ADAPTER.validate_python(data)

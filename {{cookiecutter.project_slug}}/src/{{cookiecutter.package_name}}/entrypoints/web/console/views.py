"""Events as a page shows them: what happened in one line, and all of it below that."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from typing import Any

from ....agent import events as e
from ....agent.definition import Agent
from ....agent.history import Stored
from ....agent.own import outline
from ....agent.session import Session, Thread
from .render import exact, lasting, line, money, raw

MOST_OF_AN_EVENT, MOST_SAID, LEAST = 900, 1_600, 100
"""Bytes on a page that has many; each has all of it on a page of its own."""
SAID = (
    "user_spoke",
    "agent_answered",
    "tool_requested",
    "tool_approved",
    "tool_denied",
    "person_answered",
    "decision_timed_out",
    "session_paused",
    "session_resumed",
    "session_cancelled",
    "session_failed",
)
"""What a conversation is made of."""
KINDS = {
    "session_started": ("Started", "note"),
    "user_spoke": ("Message", "person"),
    "facts_fetched": ("Facts", "note"),
    "model_answered": ("Model", "model"),
    "model_failed": ("Model failed", "bad"),
    "tool_requested": ("Tool", "tool"),
    "tool_refused": ("Call refused", "bad"),
    "tool_approved": ("Approved", "person"),
    "tool_denied": ("Refused", "person"),
    "person_answered": ("Answered", "person"),
    "decision_timed_out": ("Timed out", "bad"),
    "tool_started": ("Tool began", "tool"),
    "tool_returned": ("Result", "good"),
    "tool_failed": ("Tool failed", "bad"),
    "plan_made": ("Plan", "note"),
    "reflected": ("Reflected", "note"),
    "agent_answered": ("Answer", "good"),
    "context_compacted": ("Compacted", "note"),
    "session_paused": ("Paused", "warn"),
    "session_resumed": ("Resumed", "person"),
    "session_cancelled": ("Cancelled", "bad"),
    "session_failed": ("Failed", "bad"),
}


@dataclass(frozen=True)
class Part:
    """Something of an event, with all of it or as much as a page can bear."""

    name: str
    text: str
    is_cut: bool = False

    @classmethod
    def of(cls, name: str, value: Any, most: int) -> "Part":
        text = exact(value)
        shown = text[:most]
        while (size := len(raw(shown).encode())) > most:
            shown = shown[: len(shown) * most // (size + 1)]
        return cls(name, shown, len(shown) < len(text))


def shown(text: str) -> Part:
    return Part.of("", text, MOST_SAID)


@dataclass(frozen=True, kw_only=True)
class Row:
    """An event in the list of all of them."""

    stored: Stored
    title: str
    tone: str
    line: str
    tokens: int = 0
    cost: Decimal = Decimal(0)
    seconds: float = 0
    parts: Sequence[Part] = ()
    facts: Sequence[tuple[str, str]] = field(default_factory=list)


def row(stored: Stored, *, prompt: str) -> Row:
    event = stored.event
    title, tone = KINDS[event.kind]
    usage = getattr(event, "usage", None) or e.Usage()
    return Row(
        stored=stored,
        title=_title(event, title),
        tone=tone,
        line=line(_told(event)),
        tokens=usage.tokens,
        cost=usage.cost,
        seconds=getattr(event, "seconds", 0),
        parts=list(_cut(_parts(event))),
        facts=list(_facts(event, prompt)),
    )


def _title(event: e.AnyEvent, title: str) -> str:
    match event:
        case e.ModelAnswered(purpose="plan" | "reflect"):
            return f"{title}: {event.purpose}"
        case e.ToolRequested(permission="ask"):
            return "Approval asked"
        case e.ToolRequested(permission="answer"):
            return "Question"
    return title


def _told(event: e.AnyEvent) -> str:  # noqa: PLR0911, PLR0912
    """What happened, in one line."""
    match event:
        case e.UserSpoke() | e.AgentAnswered() | e.Reflected():
            return event.text
        case e.ModelAnswered():
            return event.text or " ".join(map(_call, event.calls))
        case e.ToolRequested():
            return _call(event.call)
        case e.ToolReturned():
            return event.text
        case e.PlanMade():
            return outline(event.tasks)
        case e.SessionStarted():
            return f"agent {event.agent}, prompt {event.prompt}"
        case e.PersonAnswered():
            return f"{event.by}: {event.answer}"
        case e.ToolApproved() | e.ToolDenied():
            return f"{event.call_id} by {event.by}" + (f": {event.comment}" * bool(event.comment))
        case e.ContextCompacted():
            return event.summary
        case e.FactsFetched():
            return ", ".join(event.facts)
        case e.SessionResumed():
            return f"by {event.by}" + _more(event.more)
        case e.DecisionTimedOut() | e.ToolStarted():
            return event.call_id
        case e.ToolRefused() | e.ToolFailed() | e.ModelFailed():
            return event.error
    return event.reason


def _call(call: e.Call) -> str:
    return f"{call.tool} {e.as_json(call.arguments)}"


def _more(more: e.Budget) -> str:
    added = [f"{value:g} {name}" for name, value in more if value]
    return f", with {', '.join(added)} more" if added else ""


def _cut(parts: Iterable[tuple[str, Any]]) -> Iterator[Part]:
    """Together no longer than an event may be."""
    room = MOST_OF_AN_EVENT
    for name, value in parts:
        yield (part := Part.of(name, value, max(room, LEAST)))
        room -= len(part.text)


def _parts(event: e.AnyEvent) -> Iterator[tuple[str, Any]]:  # noqa: PLR0912
    """Arguments, results and texts."""
    match event:
        case e.UserSpoke() | e.AgentAnswered() | e.Reflected():
            yield "Text", event.text
        case e.ModelAnswered():
            if event.text:
                yield "Text", event.text
            for call in event.calls:
                yield f"Wants {call.tool} ({call.id}) with", call.arguments
        case e.ToolRequested():
            yield "Arguments", event.call.arguments
        case e.ToolReturned():
            yield "Result", event.result
        case e.ToolFailed() | e.ToolRefused() | e.ModelFailed():
            yield "Error", event.error
        case e.FactsFetched():
            yield "Facts", event.facts
        case e.PersonAnswered():
            yield "Answer", event.answer
        case e.PlanMade():
            yield "Tasks", outline(event.tasks)
        case e.ContextCompacted():
            yield "Summary", event.summary
        case e.SessionStarted() if event.metadata:
            yield "Metadata", event.metadata
        case e.ToolApproved() | e.ToolDenied() if event.comment:
            yield "Comment", event.comment
        case e.SessionPaused() | e.SessionCancelled() | e.SessionFailed() if event.reason:
            yield "Reason", event.reason


def _facts(event: e.AnyEvent, prompt: str) -> Iterator[tuple[str, str]]:
    """What is said in a word."""
    for name in ("by", "call_id", "agent", "prompt", "forked_from", "trace"):
        if known := getattr(event, name, None):
            yield name.replace("_", " "), exact(known)
    match event:
        case e.ModelAnswered(usage=usage):
            yield "model", exact(event.model)
            yield "prompt version", prompt
            yield "purpose", event.purpose
            yield "tokens in", f"{usage.input_tokens:,}"
            yield "of them cached", f"{usage.cached_tokens:,}"
            yield "tokens out", f"{usage.output_tokens:,}"
            yield "cost", money(usage.cost)
            yield "it had seen", f"up to event {event.seen}"
            if event.cut:
                yield "context", "cut: it did not fit"
        case e.ToolRequested():
            yield "call", exact(event.call.id)
            yield "tool", exact(event.call.tool)
            yield "permission", event.permission
            if event.reason:
                yield "reason", exact(event.reason)
            if event.expires_at:
                yield "until", f"{event.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        case e.ModelFailed() if event.wait:
            yield "wait", lasting(event.wait)


@dataclass(frozen=True)
class Spent:
    """A part of the budget."""

    name: str
    used: float
    most: float
    told: str
    add: str
    """A good amount to add: as much as there was to begin with."""
    per: str = ""

    @property
    def is_over(self) -> bool:
        return self.used >= self.most


def budget(session: Session, agent: Agent | None) -> list[Spent]:
    """How much of each is used up; nothing where this release does not know the agent."""
    if agent is None:
        return []
    limits, more, used = agent.limits, session.more, session.usage
    cost, tokens = limits.cost + more.cost, limits.tokens + more.tokens
    steps, seconds = limits.steps + more.steps, limits.seconds + more.seconds
    time = f"{lasting(session.seconds)} of {lasting(seconds)}"
    tokens_told = f"{used.tokens:,} of {tokens:,}"
    return [
        Spent("cost", float(used.cost), float(cost), _of(used.cost, cost), f"{limits.cost}"),
        Spent("tokens", used.tokens, tokens, tokens_told, f"{limits.tokens}"),
        Spent("steps", session.steps, steps, f"{session.steps} of {steps}", f"{limits.steps}"),
        Spent("seconds", session.seconds, seconds, time, f"{limits.seconds:g}"),
    ]


def _of(used: Decimal, most: Decimal) -> str:
    return f"{money(used)} of {money(most)}"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A decision that somebody owes, wherever it is shown."""

    session_id: str
    title: str
    thread: Thread

    @property
    def requests(self) -> Sequence[Any]:
        return self.thread.session.pending

    @property
    def is_spent(self) -> bool:
        return self.thread.session.spent

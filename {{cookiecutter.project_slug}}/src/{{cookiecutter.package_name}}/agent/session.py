"""The session as its events make it (factors A5, A12): a pure fold, the same in every process."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from . import events as e

Status = Literal["idle", "ready", "waiting", "paused", "done", "failed", "cancelled"]
Next = Literal["act", "think"]


class OpenCall(e.ToolRequested):
    """A call that has been requested and has not ended; `auto` once a person has approved it."""

    started: bool = False
    asked: int = 0
    """The place of the request."""


class Session(BaseModel):
    """What is known of a session after its last event. Made by `fold`, changed by nobody."""

    model_config = ConfigDict(frozen=True)

    agent: str = ""
    prompt: str = ""
    ended: Literal["failed", "cancelled"] | None = None
    paused: str | None = None
    spent: bool = False
    done: bool = False
    answered: bool = True
    seq: int = 0
    speakers: tuple[str, ...] = ()
    """Whoever has told the model anything: by a message, an answer, or the reason of a refusal."""
    spoke: int = 0
    """The place of the last thing that the user said,"""
    news: int = 0
    """of the last that the model has to hear of,"""
    seen: int = 0
    """and of the last that it was shown."""
    fetched: bool = True
    planned: bool = True
    reflected: bool = True
    calls: int = 0
    """Calls so far: what makes their ids the same in every process."""
    open: dict[str, OpenCall] = {}
    decided: dict[str, str] = {}
    """What people said to each request; a decision that is sent twice is one."""
    plan: tuple[e.Task, ...] = ()
    facts: dict[str, Any] = {}
    errors: int = 0
    """Failures in a row."""
    steps: int = 0
    """Model calls since the user spoke."""
    usage: e.Usage = e.Usage()
    seconds: float = 0
    """Time spent in models and tools; waiting for a person costs none."""
    more: e.Budget = e.Budget()
    """What people have added to the agent's own limits."""
    trace: str = ""
    """Of the last message."""

    @property
    def status(self) -> Status:
        if self.ended:
            return self.ended
        if self.paused is not None:
            return "paused"
        if self.next:
            return "ready"
        if self.open:
            return "waiting"
        return "done" if self.done else "idle"

    @property
    def next(self) -> Next | None:
        """What a worker has to do now, if anything. A turn goes on once all its calls are back."""
        if self.ended or self.paused is not None:
            return None
        if any(call.permission == "auto" for call in self.open.values()):
            return "act"
        if self.spoke > self.seen:
            return "think"
        if any(call.asked > self.seen for call in self.open.values()):
            return None
        return None if self.answered and self.news <= self.seen else "think"

    @property
    def pending(self) -> list[OpenCall]:
        """The decisions that people owe."""
        return [call for call in self.open.values() if call.permission != "auto"]


EMPTY = Session()


def fold(session: Session, events: Iterable[e.AnyEvent]) -> Session:
    for event in events:
        change = _change(session, event) | {"seq": session.seq + 1}
        session = session.model_copy(update=change)
    return session


def _change(session: Session, event: e.AnyEvent) -> dict[str, Any]:  # noqa: PLR0911, PLR0912
    """What the event changes: one case a kind, and nothing hidden elsewhere."""
    match event:
        case e.SessionStarted():
            return {"agent": event.agent, "prompt": event.prompt}
        case e.UserSpoke():
            here = session.seq + 1
            return {
                **dict.fromkeys(("answered", "fetched", "planned", "done"), False),
                **dict.fromkeys(("spoke", "news"), here),
                **dict.fromkeys(("steps", "errors"), 0),
                "trace": event.trace,
                "speakers": _heard(session, event.by),
            }
        case e.FactsFetched():
            return {"fetched": True, "facts": event.facts}
        case e.ModelAnswered():
            return {
                **({"seen": event.seen, "answered": False} if event.purpose == "think" else {}),
                "planned": session.planned or event.seen >= session.spoke,
                "reflected": True,
                "calls": session.calls + len(event.calls),
                "steps": session.steps + 1,
                "usage": session.usage + event.usage,
                "seconds": session.seconds + event.seconds,
            }
        case e.ModelFailed() | e.ToolFailed():
            return {
                "errors": session.errors + 1,
                "seconds": session.seconds + event.seconds,
            } | (_closed(session, event.call_id) if isinstance(event, e.ToolFailed) else {})
        case e.ToolRequested():
            call = OpenCall(**vars(event), asked=session.seq + 1)
            asked = {"errors": 0} if event.permission == "answer" else {}
            return asked | {
                "open": session.open | {event.call.id: call},
                "calls": max(session.calls, int(event.call.id[1:])),
                "seen": max(session.seen, event.seen),
            }
        case e.ToolRefused():
            return {"errors": session.errors + 1}
        case e.ToolApproved():
            approved = _update_call(session, event.call_id, permission="auto")
            return approved | _decided(session, event, "approved")
        case e.ToolStarted():
            return _update_call(session, event.call_id, started=True)
        case e.ToolReturned():
            seconds = session.seconds + event.seconds
            return _closed(session, event.call_id) | {"errors": 0, "seconds": seconds}
        case e.ToolDenied():
            denied = _closed(session, event.call_id) | _decided(session, event, "denied")
            return denied | ({"speakers": _heard(session, event.by)} if event.comment else {})
        case e.DecisionTimedOut():
            return _closed(session, event.call_id) | _decided(session, event, "timed out")
        case e.PersonAnswered():
            answered = _decided(session, event, f"answered: {event.answer}")
            heard = {"speakers": _heard(session, event.by), "errors": 0}
            return _closed(session, event.call_id) | answered | heard
        case e.PlanMade():
            return {"plan": event.tasks, "planned": True}
        case e.Reflected():
            return {}
        case e.AgentAnswered():
            rest = _without(session, event.call_id)
            return {"answered": True, "done": event.done, "errors": 0, "open": rest}
        case e.ContextCompacted():
            return dict(Session.model_validate(event.state))
        case e.SessionPaused():
            return {"paused": event.reason, "spent": event.spent}
        case e.SessionResumed():
            return {"paused": None, "spent": False, "more": session.more + event.more}
        case e.SessionCancelled():
            return {"ended": "cancelled"}
        case e.SessionFailed():
            return {"ended": session.ended or "failed"}


def _heard(session: Session, by: str) -> tuple[str, ...]:
    return session.speakers if by in session.speakers else (*session.speakers, by)


def _decided(session: Session, event: e.CallEvent, how: str) -> dict[str, Any]:
    return {"decided": session.decided | {event.call_id: how}}


def _closed(session: Session, call_id: str) -> dict[str, Any]:
    reflected = session.reflected and call_id not in session.open
    rest = _without(session, call_id)
    return {"open": rest, "news": session.seq + 1, "reflected": reflected}


def _without(session: Session, call_id: str | None) -> dict[str, OpenCall]:
    return {key: call for key, call in session.open.items() if key != call_id}


def _update_call(session: Session, call_id: str, **changes: object) -> dict[str, Any]:
    if (call := session.open.get(call_id)) is None:
        return {}
    return {"open": session.open | {call_id: call.model_copy(update=changes)}}


@dataclass(frozen=True)
class Thread:
    """A session and the events that a model may still be shown whole."""

    id: str
    session: Session = EMPTY
    events: tuple[e.AnyEvent, ...] = ()
    lane: str = "default"

    @classmethod
    def of(
        cls, id_: str, events: Iterable[e.AnyEvent], *, base: int = 0, lane: str = "default"
    ) -> "Thread":
        return cls(id_, Session(seq=base), lane=lane).after(*events)

    @property
    def seq(self) -> int:
        return self.session.seq

    @property
    def base(self) -> int:
        """Events up to here need not be read again: a later one carries what they came to."""
        return self.seq - len(self.events)

    def after(self, *events: e.AnyEvent) -> "Thread":
        shown = (*self.events, *events)
        for event in events:
            if isinstance(event, e.ContextCompacted):
                shown = shown[max(0, shown.index(event) - event.keep) :]
        return replace(self, session=fold(self.session, events), events=shown)

"""The session as people read it: what was said, and what came back."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from .events import AgentAnswered, AnyEvent, ModelAnswered, Usage, UserSpoke

NOTHING = Usage()


@dataclass(frozen=True)
class Stored:
    """An event in its place."""

    seq: int
    event: AnyEvent
    key: str | None = None


@dataclass(frozen=True)
class Exchange:
    """A message, and the last answer to it; None until there is one."""

    seq: int
    at: datetime
    message: str
    response: str | None = None
    answered_at: datetime | None = None
    usage: Usage = NOTHING


def exchanges(events: Iterable[Stored]) -> list[Exchange]:
    """One entry a message, in their order; an answer is to the last that the model had seen."""
    told: list[Exchange] = []
    seen = 0
    for stored in events:
        event = stored.event
        if isinstance(event, UserSpoke):
            told.append(Exchange(stored.seq, event.at, event.text))
        elif isinstance(event, ModelAnswered):
            seen = event.seen
        if (at := bisect_right(told, seen, key=lambda exchange: exchange.seq) - 1) < 0:
            continue
        if isinstance(event, AgentAnswered):
            told[at] = replace(told[at], response=event.text, answered_at=event.at)
        elif isinstance(event, ModelAnswered):
            told[at] = replace(told[at], usage=told[at].usage + event.usage)
    return told

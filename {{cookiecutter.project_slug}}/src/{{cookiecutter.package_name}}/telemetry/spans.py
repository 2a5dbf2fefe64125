"""Spans: what was done, how long it took, and what it was part of.

They are recorded here and exported by `otlp`: the SDK's own take ten times as long, and a step has
four of them. A span is handed on when what it is part of has ended, so none is ever seen without
that: a process that is killed leaves no loose ends in a trace.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import getrandbits
from time import time_ns
from typing import Self

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(1, 6)
"""As OpenTelemetry numbers the kinds."""
TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)

HEADER = "traceparent"

Value = str | int | float | bool | tuple[str, ...]
Attributes = dict[str, Value]


@dataclass(frozen=True)
class Remote:
    """A span of another process, as its traceparent names it."""

    trace_id: int
    id: int
    is_sampled: bool

    @classmethod
    def read(cls, traceparent: str) -> "Remote | None":
        if (found := TRACEPARENT.fullmatch(traceparent)) is None:
            return None
        trace_id, id_, flags = (int(part, 16) for part in found.groups())
        return cls(trace_id, id_, bool(flags & 1))


@dataclass(slots=True, eq=False)
class Span:
    name: str
    kind: int
    trace_id: int
    parent: "Span | Remote | None"
    is_sampled: bool
    attributes: Attributes
    shared: Attributes
    """Attributes that the spans below it have too."""
    emit: Callable[["Span"], None]
    id: int = field(default_factory=lambda: getrandbits(64) or 1)
    began: int = field(default_factory=time_ns)
    ended: int = 0
    error: str = ""
    """The type of what was raised: its text may hold anything."""
    waiting: "list[Span]" = field(default_factory=list)

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id:032x}-{self.id:016x}-{int(self.is_sampled):02x}"

    def end(self) -> Self:
        self.ended = time_ns()
        if isinstance(self.parent, Span) and not self.parent.ended:
            self.parent.waiting.append(self)
        elif self.is_sampled:
            self.hand_on()
        return self

    def hand_on(self) -> None:
        self.emit(self)
        for span in self.waiting:
            span.hand_on()


current: ContextVar[Span | None] = ContextVar("span", default=None)


def traceparent() -> str:
    """Of what is being done just now; empty where nothing is traced."""
    return span.traceparent if (span := current.get()) else ""


def caller() -> dict[str, str]:
    """The headers by which whoever is called hears of it."""
    return {HEADER: traceparent()}


@contextmanager
def within(span: Span) -> Iterator[Span]:
    """What begins meanwhile is part of this span, which may have ended."""
    token = current.set(span)
    try:
        yield span
    finally:
        current.reset(token)


@dataclass(frozen=True, kw_only=True)
class Tracer:
    """Begins spans; a trace that begins here is sampled or not, and all that belongs to it."""

    emit: Callable[[Span], None]
    is_sampled: Callable[[int, Remote | None], bool]
    """By the id of the trace, and where it comes from."""
    close: Callable[[], None]
    has_content: bool = False
    """Prompts, answers, arguments and results may be told."""

    def begin(
        self,
        name: str,
        kind: int = INTERNAL,
        attributes: Attributes | None = None,
        *,
        traceparent: str | None = None,
        shared: Attributes | None = None,
    ) -> Span:
        """A span below the current one; below that of another process, where one is named."""
        above: Span | Remote | None = current.get()
        if traceparent is not None:
            above = Remote.read(traceparent)
        shared = shared or {}
        if isinstance(above, Span):
            shared, trace_id, is_sampled = above.shared | shared, above.trace_id, above.is_sampled
        else:
            trace_id = above.trace_id if above else getrandbits(128) or 1
            is_sampled = self.is_sampled(trace_id, above)
        own = shared | (attributes or {})
        return Span(name, kind, trace_id, above, is_sampled, own, shared, self.emit)

    @contextmanager
    def span(
        self,
        name: str,
        kind: int = INTERNAL,
        attributes: Attributes | None = None,
        *,
        traceparent: str | None = None,
    ) -> Iterator[Span]:
        """What happens meanwhile, and how it ends."""
        span = self.begin(name, kind, attributes, traceparent=traceparent)
        token = current.set(span)
        try:
            yield span
        except BaseException as error:
            span.error = type(error).__name__
            raise
        finally:
            current.reset(token)
            span.end()

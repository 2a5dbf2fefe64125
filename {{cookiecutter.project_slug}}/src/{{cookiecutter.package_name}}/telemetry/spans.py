"""Spans: what was done, how long it took, and what it was part of.

They are recorded here and exported by `otlp`: the SDK's own take ten times as long, and a step has
four of them. A span is handed on after what it is part of, so none is ever seen without
that: a process that is killed leaves no loose ends in a trace.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
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
Shared = tuple[tuple[str, str], ...]


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
    """`with span:` it is what all that begins is part of, and ends with it."""

    name: str
    kind: int
    trace_id: int
    parent_id: int
    """0 where a trace begins."""
    above: "Span | None"
    """What it is part of, until it ends; no longer, or they would hold each other."""
    is_sampled: bool
    attributes: Attributes
    fixed: Shared
    """Attributes that all spans of its kind have: they are put into bytes once."""
    shared: Shared
    """Attributes that the spans below it have too."""
    emit: Callable[["Span"], None]
    id: int
    began: int
    ended: int = 0
    error: str = ""
    """The type of what was raised: its text may hold anything."""
    waiting: "list[Span]" = field(default_factory=list)
    is_handed_on: bool = False
    token: "Token[Span | None] | None" = None

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id:032x}-{self.id:016x}-{int(self.is_sampled):02x}"

    def end(self) -> Self:
        self.ended = time_ns()
        above, self.above = self.above, None
        if not self.is_sampled:
            return self
        if above and not above.is_handed_on:
            above.waiting.append(self)
            return self
        for span in self.all():
            span.is_handed_on = True
        self.emit(self)
        return self

    def all(self) -> Iterator["Span"]:
        """The span, then what ended before it and is part of it."""
        yield self
        for span in self.waiting:
            yield from span.all()

    def __enter__(self) -> Self:
        self.token = current.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind:
            self.error = kind.__name__
        if self.token:
            current.reset(self.token)
        self.end()


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
    """Takes a span that has ended, with all that is part of it."""
    is_sampled: Callable[[int, Remote | None], bool]
    """By the id of the trace, and where it comes from."""
    close: Callable[[], None]
    has_content: bool = False
    """Prompts, answers, arguments and results may be told."""

    def span(
        self,
        name: str,
        kind: int = INTERNAL,
        attributes: Attributes | None = None,
        *,
        fixed: Shared = (),
        traceparent: str | None = None,
    ) -> Span:
        """Begun now, below the current one; below that of another process, where one is named."""
        above, remote = current.get(), None
        if traceparent is not None:
            above, remote = None, Remote.read(traceparent)
        if above:
            trace_id, is_sampled = above.trace_id, above.is_sampled
        else:
            trace_id = remote.trace_id if remote else getrandbits(128) or 1
            is_sampled = self.is_sampled(trace_id, remote)
        parent = above or remote
        return Span(
            name=name,
            kind=kind,
            trace_id=trace_id,
            parent_id=parent.id if parent else 0,
            above=above,
            is_sampled=is_sampled,
            attributes=attributes or {},
            fixed=fixed,
            shared=above.shared if above else (),
            emit=self.emit,
            id=getrandbits(64) or 1,
            began=time_ns(),
        )

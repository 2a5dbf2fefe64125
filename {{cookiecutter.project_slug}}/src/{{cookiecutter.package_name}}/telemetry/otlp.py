"""Spans leave by OTLP, in batches; the OTEL_… variables of OpenTelemetry's SDK say how.

Imported where OTEL_EXPORTER_OTLP_ENDPOINT is set, and nowhere else.
"""

import logging
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import cast

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import (
    NonRecordingSpan,
    NoOpTracer,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from ..about import about
from ..settings import Settings
from .spans import Remote, Shared, Span, Tracer, Value

log = logging.getLogger(__name__)

SAYS = "opentelemetry.exporter"
"""What says at every try what is said here now and then."""
SAY_SECONDS = 60.0
FLUSH_SECONDS = 2.0
MOST_BYTES = 1 << 20
"""Of a request, beyond which it gets no further span: collectors take a few times as many."""
CACHED, CACHED_LENGTH = 4096, 100

# The numbers of OTLP's fields, and the tags of those that are no text and no message.
RESOURCE_SPANS, RESOURCE, SCOPE_SPANS, SCOPE, SPANS, ATTRIBUTES = 1, 1, 2, 1, 2, 1
NAME, SPAN_ATTRIBUTES, KEY, VALUE, STRING, ARRAY, ITEM = 5, 9, 1, 2, 1, 5, 1
TRACE_ID, SPAN_ID, PARENT_ID, BEGAN, ENDED = b"\x0a\x10", b"\x12\x08", b"\x22\x08", 0x39, 0x41
KIND, BOOL, INT, DOUBLE_TAG = 0x30, 0x10, 0x18, 0x21
FAILED = b"\x7a\x02\x18\x02"
HEAD, DOUBLE = struct.Struct("<2s16s2s8sBQBQ"), struct.Struct("<Bd")
CONTINUES, LEAST_BEYOND = 0x80, 1 << 63


def make_tracer(settings: Settings, process: str) -> Tracer | None:
    """What records the spans of this process and exports them; None where the SDK is disabled."""
    logging.getLogger(SAYS).setLevel(logging.CRITICAL)
    provider = TracerProvider(resource=_resource(settings, process), shutdown_on_exit=False)
    if isinstance(provider.get_tracer(__name__), NoOpTracer):
        return None
    exporter = Exporter(settings, provider.resource)
    return Tracer(
        emit=exporter.take,
        is_sampled=sampled_by(provider.sampler),
        close=exporter.close,
        has_content=settings.otel_instrumentation_genai_capture_message_content,
    )


class Exporter(OTLPSpanExporter):
    """The SDK's, for spans of our own, which a thread sends: a batch as soon as it is full, and
    what there is now and then. One line at most a minute says that they don't arrive.

    The SDK's own batches ask the kernel at each span whose process this is; and theirs are of 512,
    where a request costs as much as what is in it.
    """

    def __init__(self, settings: Settings, resource: Resource) -> None:
        given = settings.otel_exporter_otlp_traces_endpoint
        endpoint = given or f"{str(settings.otel_exporter_otlp_endpoint).rstrip('/')}/v1/traces"
        super().__init__(endpoint=endpoint)
        self._most = settings.otel_bsp_max_queue_size
        self._batch = min(settings.otel_bsp_max_export_batch_size, self._most)
        self._seconds = settings.otel_bsp_schedule_delay / 1000
        self._frame = Frame(resource)
        self._why, self._said_at = "", -SAY_SECONDS
        self._refused = self._lost = self._said = 0
        self._queue = deque[Span]()
        self._awake = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._send, name="spans", daemon=True)
        self._thread.start()

    def take(self, span: Span) -> None:
        """As little as can be, since the loop does it at every step."""
        if len(self._queue) < self._most:
            self._queue.append(span)
        else:
            self._refused += sum(1 for _ in span.all())
            self._why = f"more than {self._most} wait"
        if len(self._queue) >= self._batch and not self._awake.is_set():
            self._awake.set()

    def close(self) -> None:
        """Sends what is left, but a collector that hangs holds up no end."""
        self._is_closing = True
        self._awake.set()
        self._thread.join(FLUSH_SECONDS)
        if self._thread.is_alive():
            log.warning("spans left behind", extra={"seconds": FLUSH_SECONDS})
        self._client.shutdown()

    def _send(self) -> None:
        while not self._is_closing:
            is_full = self._awake.wait(self._seconds)
            self._awake.clear()
            due = len(self._queue)
            self._send_batches(due - due % self._batch if is_full else due)
        self._send_batches(len(self._queue))

    def _send_batches(self, due: int) -> None:
        """So many of those that wait, and none that come meanwhile: those make a batch again."""
        while due > 0:
            spans, size = list[bytes](), 0
            while due > 0 and len(spans) < self._batch and size < MOST_BYTES:
                due -= 1
                for encoded in self._encoded(self._queue.popleft()):
                    spans.append(encoded)
                    size += len(encoded)
            self._send_batch(spans)

    def _encoded(self, span: Span) -> Iterator[bytes]:
        """With all that is part of it; one that can't be is lost alone, and the thread goes on."""
        for part in span.all():
            try:
                yield encode(part)
            except Exception as error:
                self._lose(1, error)

    def _send_batch(self, spans: Sequence[bytes]) -> None:
        result = self._client.export(self._frame.around(spans))
        if not result.success:
            self._lose(len(spans), result.reason or result.error)
        lost = self._refused + self._lost - self._said
        if lost and time.monotonic() - self._said_at > SAY_SECONDS:
            self._said_at, self._said = time.monotonic(), self._said + lost
            log.warning("spans lost", extra={"count": lost, "error": self._why})

    def _lose(self, count: int, why: str | Exception | None) -> None:
        self._lost += count
        self._why = why if isinstance(why, str) else type(why).__name__


class Frame:
    """What surrounds the spans of a request, the same each time."""

    def __init__(self, resource: Resource) -> None:
        told = cast("Mapping[str, Value]", resource.attributes).items()
        attributes = b"".join(framed(ATTRIBUTES, _pair(name, value)) for name, value in told)
        scope = framed(1, _text(about().slug)) + framed(2, _text(about().version))
        self._resource, self._scope = framed(RESOURCE, attributes), framed(SCOPE, scope)

    def around(self, spans: Iterable[bytes]) -> bytes:
        """The bytes of a whole ExportTraceServiceRequest."""
        framed_spans = b"".join([framed(SPANS, span) for span in spans])
        scoped = framed(SCOPE_SPANS, self._scope + framed_spans)
        return framed(RESOURCE_SPANS, self._resource + scoped)


def encode(span: Span) -> bytes:
    """As protobuf has it, where a message is its fields one after the other, in any order."""
    if span.error:
        span.attributes["error.type"] = span.error
    ids = span.trace_id.to_bytes(16, "big"), span.id.to_bytes(8, "big")
    return b"".join(
        [
            HEAD.pack(TRACE_ID, ids[0], SPAN_ID, ids[1], BEGAN, span.began, ENDED, span.ended),
            PARENT_ID + span.parent_id.to_bytes(8, "big") if span.parent_id else b"",
            FAILED if span.error else b"",
            _named(span.name, span.kind),
            _constant(span.fixed),
            _constant(span.shared),
            *[_attribute(name, value) for name, value in span.attributes.items()],
        ]
    )


@lru_cache(CACHED)
def _named(name: str, kind: int) -> bytes:
    return framed(NAME, _text(name)) + bytes((KIND, kind))


@lru_cache(CACHED, typed=True)
def _constant(attributes: Shared) -> bytes:
    return b"".join(_encoded(name, value) for name, value in attributes)


def _attribute(name: str, value: Value) -> bytes:
    """Most are the same from span to span, and encoded once."""
    is_long = isinstance(value, str) and len(value) > CACHED_LENGTH
    return _encoded(name, value) if is_long else _kept(name, value)


def _encoded(name: str, value: Value) -> bytes:
    return framed(SPAN_ATTRIBUTES, _pair(name, value))


_kept = lru_cache(CACHED, typed=True)(_encoded)


def _pair(name: str, value: Value) -> bytes:
    return _name(name) + framed(VALUE, _any(value))


@cache
def _name(name: str) -> bytes:
    return framed(KEY, _text(name))


def _any(value: Value) -> bytes:
    match value:
        case str():
            return framed(STRING, _text(value))
        case bool():
            return bytes((BOOL, value))
        case int() if -LEAST_BEYOND <= value < LEAST_BEYOND:
            return bytes((INT,)) + _sevens(value % (2 * LEAST_BEYOND))
        case int():
            return _any(str(value))
        case float():
            return DOUBLE.pack(DOUBLE_TAG, value)
    return framed(ARRAY, b"".join(framed(ITEM, _any(item)) for item in value))


def framed(number: int, message: bytes) -> bytes:
    """A field that is a message or a text: its number, its length, itself."""
    tag, size = number << 3 | 2, len(message)
    if size < CONTINUES:
        return bytes((tag, size)) + message
    return bytes((tag,)) + _sevens(size) + message


def _sevens(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last say that there are more."""
    said = bytearray()
    while number >= CONTINUES:
        said.append(number % CONTINUES | CONTINUES)
        number //= CONTINUES
    said.append(number)
    return bytes(said)


def _text(text: str) -> bytes:
    """Half a surrogate pair is no text, and would be a fault of all that leaves with it."""
    return text.encode(errors="replace")


def _resource(settings: Settings, process: str) -> Resource:
    """Who exports; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say comes before it."""
    ours = {
        "service.name": about().slug,
        "service.version": about().version,
        "deployment.environment.name": settings.environment,
        "release": settings.release,
        "process.type": process,
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def sampled_by(sampler: Sampler) -> Callable[[int, Remote | None], bool]:
    """What OTEL_TRACES_SAMPLER says of a trace."""

    def is_sampled(trace_id: int, remote: Remote | None) -> bool:
        parent = None
        if remote:
            flags = TraceFlags(TraceFlags.SAMPLED if remote.is_sampled else TraceFlags.DEFAULT)
            context = SpanContext(remote.trace_id, remote.id, is_remote=True, trace_flags=flags)
            parent = set_span_in_context(NonRecordingSpan(context))
        decision = sampler.should_sample(parent, trace_id, "").decision
        return bool(decision.is_sampled())  # type: ignore[no-untyped-call]

    return is_sampled

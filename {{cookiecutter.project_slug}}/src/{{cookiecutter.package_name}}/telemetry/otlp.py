"""Spans leave by OTLP, in the SDK's own batches; the SDK's OTEL_… variables say how.

Imported where OTEL_EXPORTER_OTLP_ENDPOINT is set, and nowhere else.
"""

import logging
import struct
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import cast

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1 import trace_pb2 as messages
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
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
CACHED, CACHED_LENGTH = 4096, 100
SAMPLED = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
RESOURCE_SPANS, SCOPE_SPANS, SPANS = 1, 2, 2
CONTINUES = 0x80
HEAD = struct.Struct("<2s16s2s8sBQBQ")
TRACE_ID, SPAN_ID, PARENT_ID, BEGAN, ENDED = b"\x0a\x10", b"\x12\x08", b"\x22\x08", 0x39, 0x41
"""What a span begins with, by far the most of its fields: their tags, and their lengths."""
FAILED = messages.Status(code=messages.Status.STATUS_CODE_ERROR)


def make_tracer(settings: Settings, process: str) -> Tracer | None:
    """What records the spans of this process and exports them; None where the SDK is disabled."""
    logging.getLogger(SAYS).setLevel(logging.CRITICAL)
    provider = TracerProvider(resource=_resource(settings, process), shutdown_on_exit=False)
    if isinstance(provider.get_tracer(__name__), NoOpTracer):
        return None
    given = settings.otel_exporter_otlp_traces_endpoint
    endpoint = given or f"{str(settings.otel_exporter_otlp_endpoint).rstrip('/')}/v1/traces"
    batches = BatchSpanProcessor(Exporter(endpoint, provider.resource))
    provider.add_span_processor(batches)
    return Tracer(
        emit=lambda span: batches.on_end(Ended(span)),
        is_sampled=sampled_by(provider.sampler),
        close=lambda: _within(FLUSH_SECONDS, provider.shutdown),
        has_content=settings.otel_instrumentation_genai_capture_message_content,
    )


class Ended(ReadableSpan):
    """A span of ours with all that is part of it, as the SDK's batches take it."""

    def __init__(self, span: Span) -> None:
        self.ours = span

    @property
    def context(self) -> SpanContext:
        return SAMPLED


class Exporter(OTLPSpanExporter):
    """The SDK's, for spans of our own. One line now and then says that they don't arrive."""

    def __init__(self, endpoint: str, resource: Resource) -> None:
        super().__init__(endpoint=endpoint)
        self._frame = Frame(resource)
        self._said_at = -SAY_SECONDS
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        ours = [part for span in spans if isinstance(span, Ended) for part in span.ours.all()]
        result = self._client.export(self._frame.around(ours))
        if result.success:
            return SpanExportResult.SUCCESS
        self._lost += len(ours)
        if time.monotonic() - self._said_at > SAY_SECONDS:
            self._said_at = time.monotonic()
            why = result.reason or type(result.error).__name__
            log.warning("spans lost", extra={"count": self._lost, "error": why})
            self._lost = 0
        return SpanExportResult.FAILURE


class Frame:
    """What surrounds the spans of a request, the same each time."""

    def __init__(self, resource: Resource) -> None:
        attributes = [_key_value(key, cast("Value", v)) for key, v in resource.attributes.items()]
        message = messages.ResourceSpans(resource=ResourceMessage(attributes=attributes))
        scope = InstrumentationScope(name=about().slug, version=about().version)
        self._resource: bytes = message.SerializeToString()
        self._scope: bytes = messages.ScopeSpans(scope=scope).SerializeToString()

    def around(self, spans: Sequence[Span]) -> bytes:
        """The bytes of a whole ExportTraceServiceRequest."""
        encoded = b"".join(framed(SPANS, encode(span)) for span in spans)
        scoped = framed(SCOPE_SPANS, self._scope + encoded)
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
            _named(span.name, span.kind, bool(span.error)),
            _shared(span.shared),
            *(_attribute(name, value) for name, value in span.attributes.items()),
        ]
    )


@lru_cache(CACHED)
def _named(name: str, kind: int, failed: bool) -> bytes:
    named = messages.Span(
        name=_clean(name),
        kind=cast("messages.Span.SpanKind.ValueType", kind),
        status=FAILED if failed else None,
    )
    encoded: bytes = named.SerializeToString()
    return encoded


@lru_cache(CACHED, typed=True)
def _shared(attributes: Shared) -> bytes:
    return b"".join(_encoded(name, value) for name, value in attributes)


def framed(number: int, message: bytes) -> bytes:
    """A field that is a message: its number, its length in sevens of bits, itself."""
    head, size = bytearray([number << 3 | 2]), len(message)
    while size >= CONTINUES:
        head.append(size % CONTINUES | CONTINUES)
        size //= CONTINUES
    head.append(size)
    return bytes(head) + message


def _attribute(name: str, value: Value) -> bytes:
    """Most are the same from span to span, and encoded once."""
    is_long = isinstance(value, str) and len(value) > CACHED_LENGTH
    return _encoded(name, value) if is_long else _kept(name, value)


def _encoded(name: str, value: Value) -> bytes:
    encoded: bytes = messages.Span(attributes=[_key_value(name, value)]).SerializeToString()
    return encoded


_kept = lru_cache(CACHED, typed=True)(_encoded)


def _key_value(name: str, value: Value) -> KeyValue:
    return KeyValue(key=name, value=_any(value))


def _any(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=_clean(value))
    return AnyValue(array_value=ArrayValue(values=map(_any, value)))


def _clean(text: str) -> str:
    """Half a surrogate pair is no text, and would be a fault of all that leaves with it."""
    return text.encode(errors="replace").decode()


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


def _within(seconds: float, act: Callable[[], object]) -> None:
    """Does it, or leaves it: a collector that hangs holds up no end."""
    thread = threading.Thread(target=act, name="flush", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        log.warning("spans left behind", extra={"seconds": seconds})

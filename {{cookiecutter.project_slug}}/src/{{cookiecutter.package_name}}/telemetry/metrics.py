"""Every metric of the service, in one place, served by each process at /metrics."""

from collections.abc import Sequence
from functools import cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.process_collector import ProcessCollector

from ..about import about
from ..agent.events import (
    AnyEvent,
    ModelAnswered,
    ModelFailed,
    ToolFailed,
    ToolRefused,
    ToolReturned,
)
from ..agent.session import Thread
from ..settings import Settings

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """One a process, made by its entry point and handed on: importing it registers nothing."""

    def __init__(self, settings: Settings, process: str) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        build = Gauge(
            "service_info", "What runs here.", ("service", "release", "process"), registry=registry
        )
        build.labels(about().slug, settings.release, process).set(1)
        self.requests = Counter(
            "http_requests_total",
            "HTTP requests answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "http_request_seconds", "Time to answer.", ("method", "route"), registry=registry
        )
        self.tasks = Counter("tasks_total", "Tasks ended.", ("task", "outcome"), registry=registry)
        self.task_seconds = Histogram(
            "task_seconds", "Time a task took.", ("task",), registry=registry
        )
        self.steps = Counter(
            "steps_total", "Steps of sessions stored.", ("agent",), registry=registry
        )
        self.model_calls = Counter(
            "model_calls_total", "Calls of models.", ("model", "outcome"), registry=registry
        )
        self.tokens = Counter(
            "tokens_total", "Tokens sent and received.", ("model",), registry=registry
        )
        self.cost = Counter(
            "cost_dollars_total", "What models cost.", ("model",), registry=registry
        )
        self.tools = Counter("tools_total", "Calls of tools.", ("outcome",), registry=registry)
        self.swept = Counter(
            "swept_total", "Stale work queued again by the scheduler.", registry=registry
        )
        self.leader = Gauge(
            "scheduler_leader", "1 in the scheduler that acts, 0 in the others.", registry=registry
        )

    def note_step(self, thread: Thread, events: Sequence[AnyEvent]) -> None:
        """What a stored step says in numbers."""
        _of(self.steps, thread.session.agent).inc()
        for event in events:
            match event:
                case ModelAnswered():
                    _of(self.model_calls, event.model, "answered").inc()
                    _of(self.tokens, event.model).inc(event.usage.tokens)
                    _of(self.cost, event.model).inc(float(event.usage.cost))
                case ModelFailed():
                    _of(self.model_calls, "(none)", "failed").inc()
                case ToolReturned() | ToolFailed() | ToolRefused():
                    _of(self.tools, event.kind.removeprefix("tool_")).inc()

    def render(self) -> bytes:
        return generate_latest(self.registry)


@cache
def _of(metric: Counter, *labels: str) -> Counter:
    """The metric's child, which `labels` would look for each time."""
    return metric.labels(*labels)

"""Every metric of the service, in one place, served by each process at /metrics."""

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
        self.swept = Counter(
            "swept_total", "Stale work queued again by the scheduler.", registry=registry
        )
        self.leader = Gauge(
            "scheduler_leader", "1 in the scheduler that acts, 0 in the others.", registry=registry
        )

    def render(self) -> bytes:
        return generate_latest(self.registry)

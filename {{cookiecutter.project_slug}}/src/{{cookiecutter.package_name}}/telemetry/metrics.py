"""Every metric of the service, in one place, served by each process at /metrics.

What happens is counted where it is stored; what is true of the whole system is `standing`'s.
"""

from functools import partial
from typing import Any, TypeVar

import prometheus_client
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
WORK = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Seconds in which models and tools answer,"""
PEOPLE = (10, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 3 * 24 * 3600, 7 * 24 * 3600)
"""and in which people do."""
FILL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
M = TypeVar("M", Counter, Gauge, Histogram)


class Metrics:
    """One a process, made by its entry point and handed on: importing it registers nothing.

    Labels are names of our own (routes, agents, tools, models), never what somebody has sent.
    """

    def __init__(self, settings: Settings, process: str) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = self._new(Gauge, "service_info", "What runs here.", "service", "release", "process")
        build.labels(about().slug, settings.release, process).set(1)
        self._of_requests()
        self._of_tasks()
        self._of_steps()
        self._of_models()
        self._of_tools()
        self._of_channels()
        self._of_scheduler()

    def render(self) -> bytes:
        return generate_latest(self.registry)

    def of_request(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        """What counts such an answer, and what times it."""
        return (
            self.requests.labels(method, route, status),
            self.request_seconds.labels(method, route),
        )

    def _new(self, kind: type[M], name: str, help_: str, *labels: str, **more: Any) -> M:
        return kind(name, help_, labels, registry=self.registry, **more)

    def _of_requests(self) -> None:
        self.requests = self._new(
            Counter, "http_requests_total", "HTTP requests answered.", "method", "route", "status"
        )
        self.request_seconds = self._new(
            Histogram, "http_request_seconds", "Time to answer.", "method", "route"
        )

    def _of_tasks(self) -> None:
        self.tasks = self._new(Counter, "tasks_total", "Tasks ended.", "task", "outcome")
        self.task_seconds = self._new(
            Histogram, "task_seconds", "Time a task took.", "task", buckets=WORK
        )
        self.interruptions = self._new(
            Counter, "interruptions_total", "Sessions let go in the middle of their work.", "why"
        )

    def _of_steps(self) -> None:
        new = partial(self._new, Counter)
        self.steps = new("steps_total", "Steps of sessions stored.", "agent", "prompt")
        self.step_seconds = self._new(
            Histogram, "step_seconds", "Time of a step in a model or tools.", "agent", buckets=WORK
        )
        self.turns = new(
            "turns_total", "Messages answered or given up.", "agent", "prompt", "outcome"
        )
        self.decision_seconds = self._new(
            Histogram,
            "decision_seconds",
            "Time from a request to a person's decision.",
            "decision",
            buckets=PEOPLE,
        )
        self.context_fill = self._new(
            Histogram,
            "context_fill",
            "What a model was shown, as a part of the budget.",
            "agent",
            buckets=FILL,
        )
        self.compactions = new("compactions_total", "Contexts summed up.", "agent")
        self.truncations = new("truncations_total", "Texts cut for the context.", "what")

    def _of_models(self) -> None:
        new = partial(self._new, Counter)
        self.model_calls = new("model_calls_total", "Calls of models.", "model", "outcome")
        self.model_failures = new("model_failures_total", "Tries that a model failed.", "model")
        self.model_seconds = self._new(
            Histogram, "model_seconds", "Time a model took to answer.", "model", buckets=WORK
        )
        self.tokens = new("tokens_total", "Tokens sent and received.", "model", "kind")
        self.cost = new("cost_dollars_total", "What models cost.", "agent", "prompt", "model")

    def _of_tools(self) -> None:
        self.tool_calls = self._new(
            Counter, "tool_calls_total", "Calls of tools ended.", "tool", "outcome"
        )
        self.tool_seconds = self._new(
            Histogram, "tool_seconds", "Time a tool took.", "tool", buckets=WORK
        )

    def _of_channels(self) -> None:
        self.notices = self._new(
            Counter, "notices_total", "Notices delivered, put off, or dead.", "channel", "outcome"
        )

    def count_notice(self, channel: str, outcome: str) -> None:
        self.notices.labels(channel, outcome).inc()

    def _of_scheduler(self) -> None:
        self.swept = self._new(Counter, "swept_total", "Stale work queued again.")
        self.sweep_seconds = self._new(Histogram, "sweep_seconds", "Time a sweep took.")
        self.leader = self._new(
            Gauge, "scheduler_leader", "1 in the scheduler that acts, 0 in the others."
        )

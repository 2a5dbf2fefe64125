"""What stored events say in numbers: a function of the events and the session before them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

from prometheus_client import Counter, Histogram

from ..agent import events as e
from ..agent.context import RESULT_LENGTH
from ..agent.definition import Agent
from ..agent.session import Thread
from .metrics import Metrics

WHYS = ("shutdown", "backing", "fault", "lease")
OUTCOMES = ("answered", "failed", "cancelled", "spent")
NONE = "(none)"
TIMED = (e.ModelAnswered, e.ModelFailed, e.ToolReturned, e.ToolFailed)
Decision = e.ToolApproved | e.ToolDenied | e.PersonAnswered | e.DecisionTimedOut
M = TypeVar("M", Counter, Histogram)
Events = Sequence[e.AnyEvent]


@dataclass(kw_only=True)
class Notes:
    metrics: Metrics
    context_tokens: int
    tools: set[str] = field(default_factory=set)
    """Those of this release: what a model calls by another name is counted as (none)."""

    def know(self, agents: Mapping[str, Agent]) -> None:
        """Its tools; and zeros for what alerts watch, or the first of each would not count."""
        for why in WHYS:
            _of(self.metrics.interruptions, why)
        _of(self.metrics.decision_seconds, "timed_out")
        for agent in agents.values():
            self.tools.update(tool.name for tool in agent.offered)
            for prompt in agent.prompts:
                for outcome in OUTCOMES:
                    _of(self.metrics.turns, agent.name, prompt, outcome)

    def note_step(self, before: Thread, events: Events) -> None:
        """What a worker has stored of its work."""
        session = before.session
        _of(self.metrics.steps, session.agent, session.prompt).inc()
        if timed := [event.seconds for event in events if isinstance(event, TIMED)]:
            _of(self.metrics.step_seconds, session.agent).observe(max(timed))
        self.note(before, events)

    def note(self, before: Thread, events: Events) -> None:
        """What anybody has stored."""
        names = {call.call.id: call.call.tool for call in before.session.open.values()}
        answered = False
        for event in events:
            match event:
                case e.ModelAnswered():
                    answered = True
                    names |= {call.id: call.tool for call in event.calls}
                    self._model_answered(before, event)
                case e.ModelFailed():
                    outcome = "unusable" if answered else "failed"
                    _of(self.metrics.model_calls, NONE, outcome).inc()
                case e.ToolReturned() | e.ToolFailed() | e.ToolRefused():
                    name = names.get(event.call_id, NONE)
                    self._tool_ended(name if name in self.tools else NONE, event)
                case e.ToolApproved() | e.ToolDenied() | e.PersonAnswered() | e.DecisionTimedOut():
                    self._decided(before, event)
                case e.ContextCompacted():
                    _of(self.metrics.compactions, before.session.agent).inc()
                case _:
                    self._turn_ended(before, event)

    def note_interruption(self, why: str) -> None:
        _of(self.metrics.interruptions, why).inc()

    def note_failure(self, model: str) -> None:
        """Of one try; another model may still answer."""
        _of(self.metrics.model_failures, model).inc()

    def _model_answered(self, before: Thread, event: e.ModelAnswered) -> None:
        metrics, usage = self.metrics, event.usage
        agent, prompt = before.session.agent, before.session.prompt
        _of(metrics.model_calls, event.model, "answered").inc()
        _of(metrics.model_seconds, event.model).observe(event.seconds)
        fresh = usage.input_tokens - usage.cached_tokens
        for kind, count in (
            ("input", fresh),
            ("cached", usage.cached_tokens),
            ("output", usage.output_tokens),
        ):
            _of(metrics.tokens, event.model, kind).inc(max(count, 0))  # a provider may miscount
        _of(metrics.cost, agent, prompt, event.model).inc(max(float(usage.cost), 0))
        _of(metrics.context_fill, agent).observe(usage.input_tokens / self.context_tokens)
        if event.cut:
            _of(metrics.truncations, "request").inc()

    def _tool_ended(self, name: str, event: e.ToolReturned | e.ToolFailed | e.ToolRefused) -> None:
        _of(self.metrics.tool_calls, name, event.kind.removeprefix("tool_")).inc()
        if not isinstance(event, e.ToolRefused):
            _of(self.metrics.tool_seconds, name).observe(event.seconds)
        if isinstance(event, e.ToolReturned) and len(event.text) > RESULT_LENGTH:
            _of(self.metrics.truncations, "result").inc()

    def _decided(self, before: Thread, event: Decision) -> None:
        if request := before.session.open.get(event.call_id):
            took = (event.at - request.at).total_seconds()
            decision = event.kind.partition("_")[2]
            _of(self.metrics.decision_seconds, decision).observe(max(took, 0))

    def _turn_ended(self, before: Thread, event: e.AnyEvent) -> None:
        session = before.session
        match event:
            case e.AgentAnswered():
                outcome = "answered"
            case e.SessionPaused(spent=True):
                outcome = "spent"
            case e.SessionFailed():
                outcome = "failed"
            case e.SessionCancelled() if not session.answered:
                outcome = "cancelled"
            case _:
                return
        _of(self.metrics.turns, session.agent, session.prompt, outcome).inc()


@cache
def _of(metric: M, *labels: str) -> M:
    """The metric's child, which `labels` would look for each time."""
    return metric.labels(*labels)

"""What stored events say in numbers."""

from datetime import timedelta
from decimal import Decimal

import pytest

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.context import RESULT_LENGTH
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.telemetry.metrics import Metrics
from {{ cookiecutter.package_name }}.telemetry.notes import Notes

from ..conftest import SECRET
from .core import NOW, answered, call, history, make_agent, requested, returned, said, thought

THOUGHT = e.ModelAnswered(
    at=NOW,
    seen=2,
    model="a:1",
    usage=e.Usage(input_tokens=800, output_tokens=50, cached_tokens=600, cost=Decimal("0.25")),
    seconds=2.0,
)
SPOKEN = history(said("go"))
KINDS = ("input", "cached", "output")
HOW = ("answered", "failed", "cancelled", "spent")
LATER = NOW + timedelta(minutes=20)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    notes = Notes(metrics=Metrics(Settings.load(), "test"), context_tokens=1_000)
    notes.know({"a": make_agent()})
    return notes


def value(notes: Notes, name: str, **labels: str) -> float | None:
    return notes.metrics.registry.get_sample_value(name, labels)


def test_a_model_call_says_its_tokens_cost_time_and_fill(notes: Notes) -> None:
    notes.note_step(SPOKEN, [THOUGHT, answered()])
    assert value(notes, "steps_total", agent="a", prompt="v1") == 1
    assert value(notes, "model_calls_total", model="a:1", outcome="answered") == 1
    kinds = {kind: value(notes, "tokens_total", model="a:1", kind=kind) for kind in KINDS}
    assert kinds == {"input": 200, "cached": 600, "output": 50}
    assert value(notes, "cost_dollars_total", agent="a", prompt="v1", model="a:1") == 0.25
    assert value(notes, "model_seconds_sum", model="a:1") == 2
    assert value(notes, "step_seconds_sum", agent="a") == 2
    assert value(notes, "context_fill_bucket", agent="a", le="0.7") == 0
    assert value(notes, "context_fill_bucket", agent="a", le="0.8") == 1
    assert value(notes, "turns_total", agent="a", prompt="v1", outcome="answered") == 1


def test_a_provider_that_miscounts_breaks_nothing(notes: Notes) -> None:
    usage = e.Usage(input_tokens=5, output_tokens=-1, cached_tokens=9, cost=Decimal("-0.1"))
    notes.note_step(SPOKEN, [THOUGHT.model_copy(update={"usage": usage})])
    kinds = {kind: value(notes, "tokens_total", model="a:1", kind=kind) for kind in KINDS}
    assert kinds == {"input": 0, "cached": 9, "output": 0}


def test_a_step_takes_as_long_as_the_slowest_of_its_tools(notes: Notes) -> None:
    before = SPOKEN.after(thought(call(1), call(2), seen=2), requested(call(1)), requested(call(2)))
    ended = [returned(n).model_copy(update={"seconds": seconds}) for n, seconds in ((1, 3), (2, 4))]
    notes.note_step(before, ended)
    assert value(notes, "step_seconds_sum", agent="a") == 4
    assert value(notes, "tool_seconds_sum", tool="look") == 7
    assert value(notes, "tool_calls_total", tool="look", outcome="returned") == 2


def test_errors_of_models_and_of_tools_are_told_apart(notes: Notes) -> None:
    before = SPOKEN.after(thought(call(1), seen=2), requested(call(1)))
    notes.note_step(SPOKEN, [e.ModelFailed(at=NOW, error="away")])
    notes.note_step(SPOKEN, [THOUGHT, e.ModelFailed(at=NOW, error="nothing was said")])
    notes.note_step(before, [e.ToolFailed(at=NOW, call_id="c1", error="broken")])
    notes.note_failure("b:2")
    assert value(notes, "model_calls_total", model="(none)", outcome="failed") == 1
    assert value(notes, "model_calls_total", model="(none)", outcome="unusable") == 1
    assert value(notes, "model_failures_total", model="b:2") == 1
    assert value(notes, "tool_calls_total", tool="look", outcome="failed") == 1


def test_no_name_that_a_model_makes_up_becomes_a_label(notes: Notes) -> None:
    for number, name in enumerate(("look", "made up", "x" * 500), 1):
        refused = e.ToolRefused(at=NOW, call_id=f"c{number}", error="no")
        notes.note_step(SPOKEN, [thought(call(number, name), seen=2), refused])
    assert value(notes, "tool_calls_total", tool="look", outcome="refused") == 1
    assert value(notes, "tool_calls_total", tool="(none)", outcome="refused") == 2
    assert b"made up" not in notes.metrics.render()


def test_what_a_model_was_not_shown_whole_is_counted(notes: Notes) -> None:
    full = e.ContextCompacted(at=NOW, summary="", keep=0, state={})
    before = SPOKEN.after(thought(call(1), seen=2), requested(call(1)))
    notes.note_step(SPOKEN, [full])
    notes.note_step(SPOKEN, [THOUGHT.model_copy(update={"cut": True})])
    for length in (RESULT_LENGTH, RESULT_LENGTH + 1):
        notes.note_step(before, [returned(1, "x" * length)])
    assert value(notes, "compactions_total", agent="a") == 1
    assert value(notes, "truncations_total", what="request") == 1
    assert value(notes, "truncations_total", what="result") == 1


@pytest.mark.parametrize(
    ("event", "decision"),
    [
        (e.ToolApproved(at=LATER, call_id="c1", by="ann"), "approved"),
        (e.ToolDenied(at=LATER, call_id="c1", by="ann"), "denied"),
        (e.PersonAnswered(at=LATER, call_id="c1", by="ann", answer="yes"), "answered"),
        (e.DecisionTimedOut(at=LATER, call_id="c1"), "timed_out"),
    ],
)
def test_a_decision_counts_from_its_request(notes: Notes, event: e.AnyEvent, decision: str) -> None:
    notes.note(SPOKEN.after(requested(call(1), "ask")), [event])
    assert value(notes, "decision_seconds_sum", decision=decision) == 1200
    assert value(notes, "decision_seconds_count", decision=decision) == 1


@pytest.mark.parametrize(
    ("before", "event", "outcome"),
    [
        (SPOKEN, e.SessionPaused(at=NOW, reason="", spent=True), "spent"),
        (SPOKEN, e.SessionFailed(at=NOW, reason=""), "failed"),
        (SPOKEN, e.SessionCancelled(at=NOW, by="ann"), "cancelled"),
        (SPOKEN, e.SessionPaused(at=NOW, reason="", by="ann"), None),
        (SPOKEN.after(answered()), e.SessionCancelled(at=NOW, by="ann"), None),
    ],
)
def test_every_message_that_is_given_up_is_counted_by_why(
    notes: Notes, before: Thread, event: e.AnyEvent, outcome: str | None
) -> None:
    notes.note(before, [event])
    counted = {how: value(notes, "turns_total", agent="a", prompt="v1", outcome=how) for how in HOW}
    assert counted == dict.fromkeys(HOW, 0.0) | ({outcome: 1.0} if outcome else {})

"""The fold: events in, the session out, the same everywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.session import EMPTY, Thread, fold

from .core import (
    NOW,
    STARTED,
    answered,
    call,
    history,
    requested,
    returned,
    said,
    show,
    stored,
    thought,
)
from .test_events import GOLDEN

ASKED = (said("go"), thought(call(1, "deploy"), seen=2), requested(call(1, "deploy"), "ask"))
APPROVED = e.ToolApproved(at=NOW, call_id="c1", by="ann")
DENIED = e.ToolDenied(at=NOW, call_id="c1", by="ann")
EXPIRED = e.DecisionTimedOut(at=NOW, call_id="c1")
PAUSED = e.SessionPaused(at=NOW, reason="wait", by="ann")
RESUMED = e.SessionResumed(at=NOW, by="ann")
CANCELLED = e.SessionCancelled(at=NOW, by="ann")
FAILED = e.SessionFailed(at=NOW, reason="poison")
DONE = e.AgentAnswered(at=NOW, text="bye", done=True)
BROKE = e.ToolFailed(at=NOW, call_id="c1", error="broken")


def test_the_trace_of_the_last_message_is_kept_also_through_a_compaction() -> None:
    first, second = (said("hi").model_copy(update={"trace": trace}) for trace in ("t1", "t2"))
    thread = history(first, thought(seen=2), answered(), second, thought(call(1), seen=5))
    assert thread.session.trace == "t2"
    state = thread.session.model_dump(mode="json")
    compacted = e.ContextCompacted(at=NOW, summary="", keep=0, state=state)
    assert thread.after(compacted).session.trace == "t2"
    assert thread.after(said("untraced")).session.trace == ""


@pytest.mark.parametrize(
    ("status", "next_", "events"),
    [
        ("idle", None, ()),
        ("ready", "think", (said("hi"),)),
        ("ready", "think", (said("hi"), e.ModelFailed(at=NOW, error="down"))),
        ("ready", "think", (said("hi"), e.FactsFetched(at=NOW, facts={}))),
        ("idle", None, (said("hi"), thought(seen=2), answered())),
        ("done", None, (said("hi"), thought(seen=2), DONE)),
        ("ready", "think", (said("hi"), thought(seen=2), DONE, said("more"))),
        ("waiting", None, ASKED),
        ("ready", "act", (*ASKED, APPROVED)),
        ("ready", "think", (*ASKED, APPROVED, returned(1))),
        ("ready", "think", (*ASKED, APPROVED, BROKE)),
        ("ready", "think", (*ASKED, DENIED)),
        ("ready", "think", (*ASKED, EXPIRED)),
        ("paused", None, (*ASKED, APPROVED, PAUSED)),
        ("ready", "act", (*ASKED, PAUSED, APPROVED, RESUMED)),
        ("cancelled", None, (*ASKED, APPROVED, CANCELLED)),
        ("cancelled", None, (*ASKED, PAUSED, CANCELLED, FAILED, APPROVED)),
        ("failed", None, (said("hi"), FAILED)),
    ],
)
def test_a_session_is_as_its_events_say(
    status: str, next_: str | None, events: tuple[e.AnyEvent, ...]
) -> None:
    session = history(*events).session
    assert (session.status, session.next) == (status, next_)


def test_a_turn_goes_on_once_all_of_its_calls_are_back() -> None:
    calls = call(1, "deploy"), call(2)
    thread = history(said("go"), thought(*calls, seen=2), requested(calls[0], "ask"))
    thread = thread.after(requested(calls[1]))
    assert thread.session.next == "act"
    assert thread.after(returned(2)).session.status == "waiting"
    assert thread.after(returned(2), DENIED).session.next == "think"


def test_an_answer_that_is_none_leaves_what_was_said_unanswered() -> None:
    late = history(said("one"), said("two"), thought(seen=2), answered("to one"))
    none = late.after(thought(seen=5), e.ModelFailed(at=NOW, error="nothing was said"))
    assert none.session.next == "think"


def test_a_plan_is_made_for_each_message_that_it_saw() -> None:
    planned = thought(seen=2).model_copy(update={"purpose": "plan"})
    assert history(said("one"), planned).session.planned
    assert not history(said("one"), said("two"), planned).session.planned


def test_what_failed_in_a_row_is_counted_until_something_works() -> None:
    failed = e.ModelFailed(at=NOW, error="down", seconds=2)
    thread = history(said("go"), failed, failed)
    assert (thread.session.errors, thread.session.seconds) == (2, 4)
    assert history(*ASKED, APPROVED, BROKE).session.errors == 1
    for event in (said("hm"), returned(1), answered(), requested(call(1), "answer")):
        assert thread.after(event).session.errors == 0


@pytest.mark.factor("A12")
def test_folding_is_pure() -> None:
    thread = history(*ASKED)
    before = thread.session.model_dump_json()
    thread.after(APPROVED, returned(1))
    assert thread.session.model_dump_json() == before
    assert fold(EMPTY, [STARTED, *ASKED]) == thread.session


def test_events_that_fit_no_call_change_none() -> None:
    """A decision that lost a race, or one on a call that began before the events at hand."""
    thread = history(said("hi"))
    for event in (APPROVED, DENIED, e.ToolStarted(at=NOW, call_id="c1"), returned(1)):
        assert thread.after(event).session.open == {}


@pytest.mark.factor("A5", "A12")
def test_every_process_makes_the_same_of_the_same_events() -> None:
    """Another interpreter, another seed for its hashes: the same session, the same request."""
    lines = GOLDEN.read_text(encoding="utf-8")
    program = f"import sys; from {__package__}.core import show; print(show(sys.stdin))"
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            input=lines,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told == [f"{show(lines.splitlines())}\n"] * 2


def test_a_session_is_loaded_from_its_last_compaction_on() -> None:
    before: list[e.AnyEvent] = [
        STARTED,
        *ASKED,
        APPROVED,
        returned(1),
        thought(seen=6),
        answered(),
        said("more"),
    ]
    state = fold(EMPTY, before).model_dump(mode="json")
    first = e.ContextCompacted(at=NOW, summary="one", keep=3, state=state)
    events: list[e.AnyEvent] = [*before, first, thought(seen=10), answered(), said("again")]
    again = fold(EMPTY, events).model_dump(mode="json")
    second = e.ContextCompacted(at=NOW, summary="two", keep=5, state=again)
    events = [*events, second, thought(seen=14)]
    whole = Thread.of("s", events)
    assert whole.events == tuple(events[8:]), "what is kept may reach back over a compaction"
    assert Thread.of("s", stored(events[8:]), base=8) == whole
    assert whole.session == fold(EMPTY, events)

"""The window: exactly what the model sees, within its budget, the same at its beginning."""

from typing import Any

import pytest

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.context import build, compact, fit
from {{ cookiecutter.package_name }}.agent.own import PLAN, REFLECT
from {{ cookiecutter.package_name }}.agent.ports import Message, Replied, Result, Said, Wanted
from {{ cookiecutter.package_name }}.agent.session import Thread

from .core import (
    NOW,
    answered,
    call,
    history,
    make_agent,
    requested,
    returned,
    said,
    stored,
    thought,
)

AGENT = make_agent()
LATER = "not decided yet: what comes of c1 will follow"
ASKED = (said("go"), thought(call(1, "deploy"), seen=2), requested(call(1, "deploy"), "ask"))
TASKS = (e.Task(id="t1", title="deploy"), e.Task(id="t2", title="check", after=("t1",)))


def shown(*events: e.AnyEvent) -> list[Message]:
    return list(build(history(*events), AGENT).messages)


def compacted(thread: Thread, budget: int) -> Thread:
    event = compact(thread, build(thread, AGENT), budget=budget, at=NOW)
    assert event
    return thread.after(*stored([event]))


def looked(thread: Thread, result: object = "well", text: str = "") -> Thread:
    """A turn: the model wants a look, and has it."""
    wanted = call(thread.session.calls + 1)
    turn = (thought(wanted, seen=thread.seq, text=text), requested(wanted))
    return thread.after(*turn, returned(int(wanted.id[1:]), result))


@pytest.mark.factor("A3")
def test_the_model_sees_its_instructions_the_messages_and_the_tools() -> None:
    request = build(looked(history(said("go")), {"b": 1, "a": "é"}, "A look."), AGENT)
    assert request.instructions == "Be good."
    assert request.messages == (
        Said("go"),
        Replied("A look.", (Wanted("look", {}, "c1"),)),
        Result("c1", "look", '{"a": "é", "b": 1}'),
    )
    names = [offer.name for offer in request.tools]
    assert names == ["look", "stumble", "deploy", "send", "ask_person"]
    assert not request.must_call


def test_one_that_finishes_has_to_call_a_tool() -> None:
    request = build(history(said("go")), make_agent(finishes=True, planning=True))
    assert [offer.name for offer in request.tools][-2:] == ["finish", "plan"]
    assert request.must_call


def test_a_plan_and_a_reflection_are_asked_for_at_the_end() -> None:
    agent = make_agent(planning=True, finishes=True)
    thread = history(said("go"), e.PlanMade(at=NOW, tasks=TASKS))
    plan, reflect = build(thread, agent, "plan"), build(thread, agent, "reflect")
    assert plan.messages == (Said("go"), Said(PLAN))
    assert [offer.name for offer in plan.tools] == ["plan"]
    assert plan.must_call
    assert reflect.messages[-1].text == f"{REFLECT}\n\n[ ] t1: deploy\n[ ] t2: check (after t1)"
    assert not reflect.must_call
    thoughts = e.Reflected(at=NOW, text="Go on.")
    asked = thought(seen=3, text="Go on.").model_copy(update={"purpose": "reflect"})
    assert build(thread.after(asked, thoughts), agent).messages == (
        Said("go"),
        Said("Your own thoughts on that: Go on."),
    )


def test_a_prompt_that_is_gone_is_replaced_by_the_newest() -> None:
    agent = make_agent()
    thread = history(said("go"))
    gone = thread.session.model_copy(update={"prompt": "v0"})
    assert build(Thread("s", gone, thread.events), agent).instructions == "Be good."


def test_every_end_of_a_call_is_told_at_its_call() -> None:
    def end(event: e.AnyEvent) -> str:
        return shown(*ASKED, event)[-1].text

    by: dict[str, Any] = {"at": NOW, "call_id": "c1", "by": "ann"}
    assert end(said("hm")) == "hm"
    assert end(returned(1, None)) == "null"
    assert end(e.ToolFailed(at=NOW, call_id="c1", error="broken")) == "error: broken"
    assert end(e.ToolRefused(at=NOW, call_id="c1", error="no")) == "error: no"
    assert end(e.ToolDenied(**by)) == "denied by ann: no reason given"
    assert end(e.ToolDenied(**by, comment="not now")) == "denied by ann: not now"
    assert end(e.PersonAnswered(**by, answer="eu")) == "ann answered: eu"
    assert end(e.DecisionTimedOut(at=NOW, call_id="c1")) == "nobody decided in time"
    finished = e.AgentAnswered(at=NOW, text="bye", call_id="c1")
    assert end(finished) == "the user has been told"


def test_a_decision_that_comes_after_other_talk_is_told_where_it_came() -> None:
    before = shown(*ASKED, said("how long?"))
    assert before[-2:] == [Result("c1", "deploy", LATER), Said("how long?")]
    talk = (*ASKED, said("how long?"), thought(seen=5, text="a day"), answered("a day"))
    now = shown(*talk, returned(1, "deployed"))
    assert now == [*before, Replied("a day"), Said("Of c1: deployed")]


def test_what_came_while_the_model_was_busy_is_shown_after_its_answer() -> None:
    denied = e.ToolDenied(at=NOW, call_id="c1", by="ann")
    before = shown(*ASKED, said("how long?"))
    busy = (said("hurry"), denied, thought(call(2), seen=5), requested(call(2)), returned(2))
    assert shown(*ASKED, said("how long?"), *busy) == [
        *before,
        Replied("", (Wanted("look", {}, "c2"),)),
        Result("c2", "look", "well"),
        Said("hurry"),
        Said("Of c1: denied by ann: no reason given"),
    ]


def test_the_loops_own_question_and_its_answer_are_shown() -> None:
    own = e.ToolRequested(
        at=NOW, call=call(2, "ask_person"), permission="answer", reason="it broke", seen=5
    )
    answer = e.PersonAnswered(at=NOW, call_id="c2", by="ann", answer="leave it")
    failed = e.ToolFailed(at=NOW, call_id="c1", error="broken")
    assert shown(*ASKED, failed, own, answer)[2:] == [
        Result("c1", "deploy", "error: broken"),
        Said("Of c2: not decided yet: a person was asked: it broke"),
        Said("Of c2: ann answered: leave it"),
    ]


def test_an_answer_that_was_none_is_told_to_the_model() -> None:
    none = e.ModelFailed(at=NOW, error="no tool was called")
    assert shown(said("go"), thought(seen=2), none) == [
        Said("go"),
        Said("error: no tool was called"),
    ]
    down = e.ModelFailed(at=NOW, error="no model answers")
    assert shown(said("go"), down) == [Said("go")], "that is none of its business"


def test_a_long_result_is_cut_in_the_middle() -> None:
    thread = looked(history(said("go")), "a" * 9_000 + "z" * 9_000)
    text = build(thread, AGENT).messages[-1].text
    assert text == f"{'a' * 4000}\n… 10000 characters left out …\n{'z' * 4000}"
    facts = e.FactsFetched(at=NOW, facts={"all": "b" * 20_000})
    assert len(shown(said("go"), facts)[-1].text) < 8_100


@pytest.mark.factor("A3")
def test_2000_events_stay_within_the_budget_and_keep_what_matters() -> None:
    thread = history(said("hello"), thought(seen=2, text="hi"), answered("hi"))
    thread = thread.after(said("Move everything to the new region, but leave Berlin."))
    thread = thread.after(e.PlanMade(at=NOW, tasks=TASKS))
    wanted = call(1, "deploy", version="1.4.2")
    thread = thread.after(thought(wanted, seen=6), requested(wanted, "ask"), said("go on"))
    events, sizes, summaries = [*thread.events], [], []
    shown_before: tuple[Message, ...] = ()
    while thread.seq < 2000:
        if event := compact(thread, build(thread, AGENT), budget=2_000, at=NOW):
            thread = thread.after(event)
            events.append(event)
            summaries.append(event.summary)
            shown_before = ()
        request = build(thread, AGENT)
        assert request.messages[: len(shown_before)] == shown_before, "a stable beginning"
        shown_before = request.messages
        sizes.append(request.tokens)
        before, thread = thread, looked(thread, "всё хорошо " * (thread.seq % 17))
        events += thread.events[len(before.events) :]
    assert max(sizes) <= 2_000
    assert 10 < len(summaries) < 200
    assert max(len(summary.encode()) for summary in summaries) < 2_000 * 3 * 0.3
    assert summaries[-1].startswith("- user: hello\n- user: go on\n")
    recap = build(thread, AGENT).messages[0].text
    assert recap.startswith("What came before, summed up:\n- user: hello")
    assert "The plan:\n[ ] t1: deploy" in recap
    assert 'Not decided yet:\n- c1: deploy {"version": "1.4.2"}' in recap
    assert Thread.of("s", events) == thread
    assert sum(isinstance(v, e.ContextCompacted) for v in thread.events) < 3


def test_a_compaction_sums_up_what_the_one_before_it_had_kept() -> None:
    thread = history(said("one " * 800), thought(seen=2), answered("first"))
    thread = thread.after(said("two " * 200), thought(seen=5), answered("second"))
    thread = compacted(thread, budget=1_500)
    first = thread.events[-1]
    assert [v.text for v in thread.events if isinstance(v, e.UserSpoke)] == ["two " * 200]
    assert isinstance(first, e.ContextCompacted)
    assert first.summary.splitlines()[1:] == ["- you: first"]
    thread = compacted(thread.after(said("three " * 600)), budget=1_500)
    summary = build(thread, AGENT).messages[0].text
    who = [line.partition(": ")[::2] for line in summary.splitlines()[1:]]
    assert [(name, text[:6]) for name, text in who] == [
        ("- user", "one on"),
        ("- you", "first"),
        ("- user", "two tw"),
    ]


def test_what_does_not_fit_at_all_is_cut_and_compacted_only_once() -> None:
    thread = looked(history(said("go " * 50_000)), "x" * 7_000)
    thread = thread.after(said("and " * 50_000))
    thread = compacted(thread, 1_000)
    assert compact(thread, build(thread, AGENT), budget=1_000, at=NOW) is None
    assert compact(thread, build(thread, AGENT), budget=10, at=NOW) is None, (
        "not even the tools fit"
    )
    request = build(thread, AGENT)
    assert request.tokens > 10_000
    cut = fit(request, 1_000)
    assert cut.tokens <= 1_000
    assert cut.messages[-1].text.startswith("and and")
    assert len(fit(request, 10).messages) == len(request.messages)
    assert fit(cut, 1_000) == cut

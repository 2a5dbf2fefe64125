"""The loop: one step at a time, the same end wherever it is killed, and no message left alone."""

import asyncio
import inspect
from datetime import timedelta
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.agent import acts, loop
from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.limits import Limits
from {{ cookiecutter.package_name }}.agent.ports import Replied, Request, Said
from {{ cookiecutter.package_name }}.errors import ModelError, Unavailable

from .core import NOW, Player, history, make_agent, said, wants

DEPLOY = wants(("deploy", {"version": "1.4.2"}))
LOOK = wants(("look", {}))
STUMBLE = wants(("stumble", {}))
PLAN = wants(("plan", {"tasks": [{"id": "a", "title": "look"}]}))
APPROVED = e.ToolApproved(at=NOW, call_id="c2", by="ann")


@pytest.mark.factor("A8")
def test_the_loop_is_read_on_one_screen() -> None:
    assert len(inspect.getsource(loop).splitlines()) < 150


def test_a_message_is_answered() -> None:
    play = Player(make_agent(), Replied("Good day."))
    assert asyncio.run(play.loop.step(play.thread)) == [], "nothing to do yet"
    assert play.say("hello") == "idle"
    assert play.answers == play.heard == ["Good day."]
    assert play.events[2] == e.ModelAnswered(
        at=NOW,
        seen=2,
        text="Good day.",
        model="fake",
        usage=e.Usage(input_tokens=100, output_tokens=10),
    )
    assert asyncio.run(play.loop.step(play.thread)) == []


UNAVAILABLE = e.FactsFetched(at=NOW, facts={"unavailable": "down"})
FETCHED = e.FactsFetched(at=NOW, facts={"running": "1.4.1"})


async def facts() -> dict[str, Any]:
    return {"running": "1.4.1", "since": NOW, "odd": {1}, "nothing": float("nan")}


EVERYTHING: dict[str, Any] = {"planning": True, "reflection": True, "prefetch": facts}
SAYS = {0: PLAN, 1: DEPLOY, 2: Replied("It went well."), 3: Replied("1.4.2 runs.")}


def whole(play: Player) -> None:
    """A session with everything in it, from the first word to the last."""

    def script(request: Request) -> Replied:
        turns = [event for event in play.events if isinstance(event, e.ModelAnswered)]
        return SAYS[len(turns)]

    play.model.script = script


@pytest.mark.factor("A12")
@pytest.mark.parametrize("at", range(12))
def test_killed_anywhere_it_comes_to_the_same_end(at: int) -> None:
    quiet, killed = Player(make_agent(**EVERYTHING)), Player(make_agent(**EVERYTHING))

    async def steps() -> None:
        for n in range(12):
            if killed.status == "waiting":
                killed.store(APPROVED)
            if n == at:
                await killed.step(killed=killed.status == "ready")
                killed.begin()
            if killed.status == "ready":
                await killed.step()

    for play in (quiet, killed):
        whole(play)
        play.store(said("Deploy 1.4.2."))
    assert (quiet.run(), quiet.run(APPROVED)) == ("waiting", "idle")
    asyncio.run(steps())
    assert killed.events == quiet.events
    assert quiet.kinds[2:] == [
        "facts_fetched",
        *("model_answered", "plan_made", "tool_returned"),
        *("model_answered", "tool_requested", "tool_approved", "tool_returned"),
        *("model_answered", "reflected"),
        *("model_answered", "agent_answered"),
    ]


@pytest.mark.factor("A13")
def test_facts_are_fetched_before_the_first_thought_on_each_message() -> None:
    play = Player(make_agent(prefetch=facts), LOOK, Replied("a"), Replied("b"))
    play.say()
    shown = Said(
        'Facts, as of now:\n{"nothing": null, "odd": [1], "running": "1.4.1", '
        '"since": "2026-01-02T03:04:05Z"}'
    )
    assert play.model.asked[0].messages == (Said("hello"), shown)
    play.say()
    assert play.kinds.count("facts_fetched") == 2
    assert play.thread.session.facts["running"] == "1.4.1"
    assert history(said("hi"), UNAVAILABLE, FETCHED).session.facts == {"running": "1.4.1"}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Unavailable("the ledger is away"), "the ledger is away"),
        (KeyError("x"), "KeyError: 'x'"),
        (TimeoutError(), "TimeoutError: TimeoutError"),
        (None, "ValidationError: 1 validation error for FactsFetched facts Input should be"),
    ],
)
def test_facts_that_cannot_be_had_are_done_without(
    error: Exception | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fetch() -> Any:
        if isinstance(error, TimeoutError):
            await asyncio.Event().wait()
        if error:
            raise error
        return ["no", "dictionary"]

    monkeypatch.setattr(acts, "FETCH_SECONDS", 0.01)
    play = Player(make_agent(prefetch=fetch), Replied("done"))
    assert play.say() == "idle"
    assert play.thread.session.facts["unavailable"].startswith(told)


@pytest.mark.factor("A9")
def test_after_some_failures_in_a_row_a_person_is_asked_and_the_count_starts_anew() -> None:
    play = Player(make_agent(), *[STUMBLE] * 3, *[STUMBLE] * 2, Replied("enough"))
    assert play.say() == "waiting"
    (known,) = play.thread.session.pending
    told = "3 things in a row went wrong, the last: broken. What should be done?"
    assert known.call.arguments == {"question": told}
    assert known.expires_at == NOW + timedelta(days=7)
    assert play.thread.session.errors == 0
    assert play.answer("c4", "try twice more") == "idle"
    assert play.model.asked[3].messages[-1].text == "Of c4: ann answered: try twice more"


def test_no_answer_from_any_model_ends_with_a_person_not_in_a_circle() -> None:
    play = Player(make_agent(), *[ModelError("down")] * 3, Replied("here I am"))
    assert play.say() == "waiting"
    assert play.kinds[-4:] == ["model_failed"] * 3 + ["tool_requested"]
    assert play.run(e.DecisionTimedOut(at=NOW, call_id="c1")) == "idle"
    assert play.answers == ["here I am"]


def test_what_is_said_while_a_person_is_called_for_help_is_tried() -> None:
    play = Player(make_agent(), *[ModelError("down")] * 3, Replied("back"))

    async def race() -> None:
        play.store(said("go"))
        for _ in range(3):
            await play.step()
        await play.step(said("are you there?"))

    asyncio.run(race())
    assert play.run() == "waiting"
    assert play.answers == ["back"]


@pytest.mark.parametrize("none", [Replied(""), Replied(" \n")])
def test_an_empty_answer_is_none(none: Replied) -> None:
    play = Player(make_agent(), none, Replied("pardon"))
    assert play.say() == "idle"
    assert play.answers == ["pardon"]
    assert play.texts()[-1] == "error: nothing was said"


def test_one_that_must_finish_is_held_to_it() -> None:
    end = wants(("finish", {"answer": "so it is"}))
    play = Player(make_agent(finishes=True), Replied("so it is"), end)
    assert play.say() == "done"
    assert play.texts()[1:] == ["so it is", "error: no tool was called"]
    assert play.model.asked[1].must_call


def test_a_message_during_a_decision_is_answered_and_the_decision_goes_on() -> None:
    says = (DEPLOY, LOOK, Replied("It waits."), Replied("It runs."))
    play = Player(make_agent(), *says)
    assert play.say("deploy") == "waiting"
    assert play.say("what is it waiting for?") == "waiting"
    assert play.answers == ["It waits."]
    assert play.pending == ["c1"]
    assert play.approve("c1") == "idle"
    assert play.answers == ["It waits.", "It runs."]
    assert play.texts()[-1] == 'Of c1: {"deployed": "1.4.2"}'


@pytest.mark.factor("A8")
def test_cancelling_wins_and_a_pause_holds() -> None:
    paused = e.SessionPaused(at=NOW, reason="wait", by="ann")
    cancelled = e.SessionCancelled(at=NOW, by="ann")
    play = Player(make_agent(), LOOK, Replied("done"))

    async def interrupt(event: e.AnyEvent) -> list[e.AnyEvent]:
        await play.step(event)
        return await play.loop.step(play.thread)

    play.store(said("go"))
    assert asyncio.run(interrupt(paused)) == []
    assert play.status == "paused"
    resumed = e.SessionResumed(at=NOW, by="ann")
    assert play.run(resumed) == "idle"
    play.store(said("go"))
    play.model.says = [Replied("too late")]
    assert asyncio.run(interrupt(cancelled)) == []
    assert play.run(resumed) == "cancelled"


def test_a_long_session_is_compacted_on_the_way() -> None:
    play = Player(make_agent(limits=Limits(steps=500, tokens=10**9)), context_tokens=1_500)
    turns = iter([wants(("send", {"text": "x" * 300}))] * 40 + [Replied("done")])
    play.model.script = lambda _: next(turns)
    assert play.say("begin") == "idle"
    assert 3 < play.kinds.count("context_compacted") < 30
    loaded = play.thread
    play.begin()
    assert play.thread == loaded


def test_not_even_one_huge_message_breaks_the_budget() -> None:
    play = Player(make_agent(), Replied("that was long"), context_tokens=1_500)
    assert play.say("word " * 50_000) == "idle"
    assert play.model.asked[0].tokens <= 1_500
    (text,) = play.texts()
    assert text.startswith("word word")
    assert "characters left out" in text
    assert len(text) > 1_500
    assert [v.cut for v in play.events if isinstance(v, e.ModelAnswered)] == [True]
    short = Player(make_agent(), Replied("that was short"))
    short.say("word")
    assert [v.cut for v in short.events if isinstance(v, e.ModelAnswered)] == [False]

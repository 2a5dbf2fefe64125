"""Limits: what is spent, a person may raise."""

from decimal import Decimal
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.limits import Limits, spent
from {{ cookiecutter.package_name }}.agent.ports import Replied
from {{ cookiecutter.package_name }}.agent.session import Session

from .core import NOW, Player, history, look, make_agent, said, wants

LOOK = wants(("look", {}))


@pytest.mark.parametrize(
    ("limits", "more", "words"),
    [
        ({"steps": 2}, {"steps": 1}, "2 of 2 steps"),
        ({"tokens": 220}, {"tokens": 110}, "220 of 220 tokens"),
    ],
)
def test_a_spent_budget_pauses_with_words_and_can_be_raised(
    limits: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    play = Player(make_agent(limits=Limits(**limits)), script=lambda _: LOOK)
    assert play.say() == "paused"
    session = play.thread.session
    assert session.paused == f"the budget is spent: {words}"
    assert session.spent
    for _ in range(2):
        before = len(play.model.asked)
        assert play.run(e.SessionResumed(at=NOW, by="ann", more=e.Budget(**more))) == "paused"
        assert len(play.model.asked) == before + 1
    assert not history(said("go"), e.SessionPaused(at=NOW, reason="wait")).session.spent


def test_every_limit_is_named_at_once() -> None:
    usage = e.Usage(input_tokens=9, output_tokens=1, cached_tokens=5, cost=Decimal("0.52"))
    session = Session(steps=3, usage=usage, seconds=61.7)
    limits = Limits(steps=3, tokens=10, cost=Decimal("0.50"), seconds=60)
    told = "3 of 3 steps, 10 of 10 tokens, 0.52 of 0.50 dollars, 61 of 60 seconds"
    assert spent(session, limits) == f"the budget is spent: {told}"
    more = e.Budget(steps=1, tokens=1, cost=Decimal("0.50"), seconds=2)
    raised = session.model_copy(update={"more": more})
    assert spent(raised, limits) is None


def test_steps_count_anew_for_each_message_and_the_rest_for_the_session() -> None:
    play = Player(make_agent(limits=Limits(steps=2)), *[LOOK, Replied("done")] * 2)
    assert (play.say("one"), play.say("two")) == ("idle", "idle")
    assert play.thread.session.steps == 2
    assert play.thread.session.usage.tokens == 440


def finishing(*confidences: float) -> Player:
    says = [wants(("finish", {"answer": f"It is {c}", "confidence": c})) for c in confidences]
    return Player(make_agent(look, finishes=True, limits=Limits(confidence=0.7)), *says)


def test_a_sure_answer_is_told_at_once() -> None:
    play = finishing(0.7, 0.8)
    assert play.say() == "done"
    assert play.answers == ["It is 0.7"]
    assert len(play.model.asked) == 1, "and that is the end of it"
    assert play.say("and now?") == "done", "but it may be spoken to"
    assert play.texts()[-2:] == ["the user has been told", "and now?"]


def test_an_unsure_answer_is_told_once_a_person_approves() -> None:
    play = finishing(0.25)
    assert play.say() == "waiting"
    (known,) = play.thread.session.pending
    assert known.reason == "it is only 25% sure of its answer"
    assert known.permission == "ask"
    assert play.answers == []
    assert play.approve("c1") == "done"
    assert play.answers == ["It is 0.25"]
    assert len(play.model.asked) == 1


def test_an_unsure_answer_that_is_denied_is_thought_over() -> None:
    play = finishing(0.25, 0.9)
    play.say()
    assert play.deny("c1") == "done"
    assert play.answers == ["It is 0.9"]
    assert play.texts()[-1] == "denied by ann: not today"

"""The example agent with its script for a model: everything that the script can show."""

import asyncio
from dataclasses import replace

import pytest

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.own import outline
from {{ cookiecutter.package_name }}.agent.ports import Replied, Request, Result, Said, Wanted
from {{ cookiecutter.package_name }}.agent.tools import Context, ToolError
from {{ cookiecutter.package_name }}.agents.release import agent
from {{ cookiecutter.package_name }}.agents.release.script import HELP, script
from {{ cookiecutter.package_name }}.agents.release.tools import Releases
from {{ cookiecutter.package_name }}.errors import Unavailable
from {{ cookiecutter.package_name }}.ledger import Deployment, Ledger

from ..conversation import Conversation, cases, world
from ..fakes import FakeLedger

RUNNING = {"staging": "1.4.1", "production": "1.4.0"}


def talk(ledger: Ledger | None = None, *, context_tokens: int = 16_000) -> Conversation:
    its_world = world(ledger or FakeLedger(**RUNNING))
    return Conversation(agent(its_world), script, context_tokens=context_tokens)


def newest(ledger: FakeLedger) -> tuple[str, str, str]:
    line = list(ledger.lines.values())[-1]
    return line.version, line.environment, line.status


@pytest.mark.parametrize(("say", "expect"), cases(agent))
def test_it_answers_as_its_evals_say(say: str, expect: str) -> None:
    assert expect in Conversation(agent(world()), script).say(say)


def test_every_sentence_of_the_help_is_understood() -> None:
    examples = HELP.partition(": ")[2].replace("\n", " ").split(" · ")
    assert len(examples) > 8
    for example in examples:
        conversation = talk()
        told = conversation.say(example)
        assert "understands" not in told
        assert told or conversation.waiting or conversation.status == "paused"


def test_the_same_request_gets_the_same_reply() -> None:
    conversation = talk()
    conversation.say("release 1.4.2")
    for request in conversation.model.asked:
        assert script(request) == script(request)


@pytest.mark.factor("A13")
def test_what_it_will_surely_need_is_fetched_before_the_model_is_asked() -> None:
    conversation = talk()
    told = conversation.say("what runs where?")
    assert told == (
        "development: nothing, production: 1.4.0, staging: 1.4.1. "
        "I propose: deploy 1.4.1 to production"
    )
    assert conversation.called == []
    facts = conversation.thread.session.facts
    assert facts["now"] == "2026-01-02T03:04:05+00:00"
    assert facts["tags"] == ["1.4.0", "1.4.1"]
    assert [line["environment"] for line in facts["recent"]] == ["production", "staging"]
    assert "Facts, as of now" in conversation.model.asked[0].messages[1].text


def test_a_version_that_runs_in_staging_may_go_on_once_a_person_has_approved() -> None:
    conversation = talk(ledger := FakeLedger(**RUNNING))
    assert conversation.say("may 1.4.1 go to production?") == ""
    assert [call.tool for call in conversation.waiting] == ["allow_in_production"]
    assert conversation.approve() == "1.4.1 may go to production."
    assert len(ledger.lines) == 2, "it is the pipeline that deploys and records"
    conversation.say("may 1.4.1 go to production?")
    assert "denied by ada" in conversation.deny("not now")


def test_a_version_that_was_not_in_staging_may_not_go_on_even_if_a_person_approves() -> None:
    conversation = talk(FakeLedger(**RUNNING))
    told = conversation.say("may 1.4.9 go to production?")
    assert told == "1.4.9 may not go to production: it does not run in staging."
    assert conversation.waiting == []
    allow = Releases(world(FakeLedger(**RUNNING))).allow_in_production
    with pytest.raises(ToolError, match=r"1\.4\.9 has not succeeded in staging"):
        asyncio.run(allow("1.4.9"))


@pytest.mark.factor("A1")
def test_staging_is_deployed_to_and_checked_without_asking() -> None:
    conversation = talk(ledger := FakeLedger(**RUNNING))
    assert conversation.say("deploy 1.4.2 to staging") == "1.4.2 runs in staging."
    assert conversation.called == ["deploy", "check_deployment"]
    assert newest(ledger) == ("1.4.2", "staging", "succeeded")
    assert "staging: 1.4.2" in conversation.say("what runs where?")


def test_production_waits_for_a_person() -> None:
    conversation = talk(ledger := FakeLedger(**RUNNING))
    assert conversation.say("deploy 1.4.1 to production") == ""
    assert conversation.status == "waiting"
    (wanted,) = conversation.waiting
    assert (wanted.tool, wanted.arguments) == ("deploy_to_production", {"version": "1.4.1"})
    assert len(ledger.lines) == 2, "nothing is recorded yet"
    assert conversation.approve() == "1.4.1 runs in production."
    assert newest(ledger) == ("1.4.1", "production", "succeeded")


def test_what_a_person_denies_is_not_done() -> None:
    conversation = talk(ledger := FakeLedger(**RUNNING))
    conversation.say("deploy 1.4.1 to production")
    assert conversation.deny("not on a Friday") == (
        "That was not done: denied by ada: not on a Friday."
    )
    assert len(ledger.lines) == 2


def test_an_approval_that_comes_after_other_talk_still_counts() -> None:
    conversation = talk(ledger := FakeLedger(**RUNNING))
    conversation.say("deploy 1.4.1 to production")
    assert conversation.say("what runs where?").startswith("development: nothing")
    assert conversation.approve() == "1.4.1 runs in production."
    assert newest(ledger) == ("1.4.1", "production", "succeeded")


def test_production_is_never_deployed_to_by_the_tool_that_does_not_ask() -> None:
    tools = {tool.name: tool for tool in agent(world()).tools}
    assert tools["deploy_to_production"].permission == "ask"
    with pytest.raises(ToolError, match="environment"):
        tools["deploy"].check({"version": "1.4.2", "environment": "production"})


def test_a_deployment_that_fails_its_check_is_rolled_back() -> None:
    conversation = talk(ledger := FakeLedger(**RUNNING))
    told = conversation.say("deploy 1.4.2-broken to staging")
    assert told == "staging was rolled back to 1.4.1."
    assert [line.status for line in ledger.lines.values()][2:] == ["rolled_back", "succeeded"]
    assert ledger.lines[4].rollback_of == 3
    assert ledger.lines[4].deployed_by.startswith("session ")


def test_it_rolls_back_when_told() -> None:
    conversation = talk(ledger := FakeLedger(**RUNNING))
    conversation.say("deploy 1.4.1 to production")
    conversation.approve()
    told = conversation.say("roll back production")
    assert told == "production was rolled back to 1.4.0."
    assert newest(ledger) == ("1.4.0", "production", "succeeded")
    assert ledger.lines[3].status == "rolled_back"
    assert "nothing succeeded in production before 1.4.0" in conversation.say(
        "roll back production"
    )
    assert "nothing to roll back" in conversation.say("roll back development")


def test_a_rollback_that_fails_its_check_is_put_to_a_person() -> None:
    conversation = talk(FakeLedger(staging="1.4.1-broken"))
    conversation.say("deploy 1.4.2-broken to staging")
    (question,) = conversation.waiting
    assert question.arguments["question"].startswith("staging fails even with 1.4.1-broken")


def test_every_act_is_done_once_however_often_it_is_repeated() -> None:
    ledger = FakeLedger(staging="1.4.1")
    releases = Releases(world(ledger))

    async def act() -> None:
        for _ in range(3):
            made = await releases.deploy("1.4.2", "staging", Context("s", "s:c1"))
            checked = await releases.check_deployment(made["id"])
            back = await releases.roll_back(made["id"], Context("s", "s:c3"))
            assert (made["id"], checked["id"], back["id"], back["version"]) == (2, 2, 3, "1.4.1")

    asyncio.run(act())
    assert [line.status for line in ledger.lines.values()] == [
        "succeeded",
        "rolled_back",
        "started",
    ]


def test_what_is_put_back_ran_before_and_not_after() -> None:
    releases = Releases(world(ledger := FakeLedger(staging="1.4.1")))

    async def act() -> None:
        for number in (2, 3):
            context = Context("s", f"s:c{number}")
            await releases.deploy(f"1.4.{number}", "staging", context)
            await releases.check_deployment(number)
        back = await releases.roll_back(2, Context("s", "s:c4"))
        assert (back["version"], back["rollback_of"]) == ("1.4.1", 2)

    asyncio.run(act())
    assert ledger.lines[3].status == "succeeded"


def test_a_release_is_planned_and_goes_by_way_of_staging() -> None:
    conversation = talk(ledger := FakeLedger(**RUNNING))
    conversation.say("release 1.4.2")
    assert newest(ledger) == ("1.4.2", "staging", "succeeded")
    assert [call.tool for call in conversation.waiting] == ["deploy_to_production"]
    assert outline(conversation.thread.session.plan) == (
        "[ ] t1: release 1.4.2\n[ ] t2: see what came of it (after t1)"
    )
    assert conversation.approve() == "1.4.2 runs in production."


def test_a_release_that_fails_in_staging_does_not_reach_production() -> None:
    conversation = talk(FakeLedger(**RUNNING))
    assert conversation.say("release 1.4.2-broken") == "staging was rolled back to 1.4.1."
    assert "deploy_to_production" not in conversation.called


def test_without_planning_and_with_reflection_it_does_the_same() -> None:
    plain = agent(world(FakeLedger(**RUNNING)))
    plain = replace(plain, planning=False, reflection=True)
    conversation = Conversation(plain, script)
    conversation.say("release 1.4.2")
    assert conversation.approve() == "1.4.2 runs in production."
    assert conversation.thread.session.plan == ()
    assert any(isinstance(event, e.Reflected) for event in conversation.events)


def test_a_question_to_a_person_waits_for_the_answer() -> None:
    conversation = talk()
    conversation.say("ask whether Friday is a good day")
    (question,) = conversation.waiting
    assert question.arguments == {"question": "whether Friday is a good day"}
    assert conversation.answer("no") == "Thank you. ada answered: no."


def test_refused_arguments_and_a_failed_tool_are_got_over() -> None:
    conversation = talk()
    told = conversation.say("fail and recover")
    assert "a third way" in told
    (refused,) = [v.error for v in conversation.events if isinstance(v, e.ToolRefused)]
    (failed,) = [v.error for v in conversation.events if isinstance(v, e.ToolFailed)]
    assert refused.startswith("limit: ")
    assert "no deployment 1000000000" in failed


def test_a_version_that_is_none_is_refused_and_told() -> None:
    conversation = talk(ledger := FakeLedger())
    assert conversation.say("deploy latest to staging").startswith("That was not done: error: vers")
    assert ledger.lines == {}


def test_after_three_failures_in_a_row_a_person_is_asked() -> None:
    conversation = talk()
    conversation.say("keep failing")
    (question,) = conversation.waiting
    assert question.arguments["question"].startswith("3 things in a row went wrong")
    assert conversation.answer("leave it") == "Thank you. ada answered: leave it."


def test_a_spent_budget_pauses_it_and_more_of_it_goes_on() -> None:
    conversation = talk()
    conversation.say("spend the budget")
    assert conversation.status == "paused"
    assert conversation.thread.session.paused == "the budget is spent: 12 of 12 steps"
    spent = len(conversation.called)
    conversation.happens(
        e.SessionResumed(at=conversation.events[0].at, by="ada", more=e.Budget(steps=5))
    )
    assert conversation.status == "paused"
    assert len(conversation.called) == spent + 5


def test_a_full_window_does_not_make_it_forget_what_it_was_told() -> None:
    conversation = talk(context_tokens=2_000)
    for _ in range(6):
        conversation.say("what runs where?")
    conversation.say("spend the budget")
    assert any(isinstance(event, e.ContextCompacted) for event in conversation.events)
    assert conversation.status == "paused"


def test_a_long_text_is_streamed() -> None:
    conversation = talk()
    told = conversation.say("tell me a story")
    assert len(told) > 500
    assert conversation.heard == [told]


def test_a_ledger_that_is_away_is_said_and_not_fatal() -> None:
    class Away(FakeLedger):
        async def recent(self, environment: str | None = None, *, limit: int) -> list[Deployment]:
            raise Unavailable("the database does not answer")

    conversation = talk(Away())
    assert conversation.say("what runs where?") == "The ledger does not answer"
    assert conversation.thread.session.facts == {"unavailable": "the database does not answer"}
    with pytest.raises(Unavailable):
        conversation.say("roll back staging")
    assert conversation.called[-1] == "ledger_history", "asked again once the ledger is back"


def test_results_that_were_cut_to_fit_are_not_read() -> None:
    cut = '{"id": 7, "vers\n\u2026 90 characters left out \u2026\n"status": "started"}'
    asked = (Said("deploy 1.4.2 to staging"), Replied("", (Wanted("deploy", {}, "c1"),)))
    told = script(Request("", (*asked, Result("c1", "deploy", cut))))
    assert told.text.startswith("That was not done: {")
    facts = Said(f"Facts, as of now:\n{cut}")
    told = script(Request("", (Said("what runs where?"), facts)))
    assert told == Replied("The ledger does not answer")


def test_in_the_smallest_window_it_comes_to_rest() -> None:
    for words in ("spend the budget", "release 1.4.2", "what runs where?"):
        conversation = talk(context_tokens=1_000)
        for _ in range(5):
            conversation.say(words)
            assert conversation.status in {"idle", "waiting", "paused"}
            if conversation.status == "paused":
                break

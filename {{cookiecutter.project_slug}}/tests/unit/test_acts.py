"""Acts: people are asked, tools are survived, and nothing runs twice that must not."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.ports import Replied
from {{ cookiecutter.package_name }}.agent.tools import Context, Tool, ToolError, tool
from {{ cookiecutter.package_name }}.errors import Unavailable

from .core import NOW, Player, look, make_agent, said, wants

DEPLOY = wants(("deploy", {"version": "1.4.2"}))
ASK = wants(("ask_person", {"question": "Which region?"}))
BY: dict[str, Any] = {"at": NOW, "call_id": "c1", "by": "ann"}


@pytest.mark.factor("A7")
@pytest.mark.parametrize(
    ("wanted", "permission", "decision", "shown"),
    [
        (DEPLOY, "ask", e.ToolApproved(**BY), '{"deployed": "1.4.2"}'),
        (DEPLOY, "ask", e.ToolDenied(**BY, comment="no"), "denied by ann: no"),
        (DEPLOY, "ask", e.DecisionTimedOut(at=NOW, call_id="c1"), "nobody decided in time"),
        (ASK, "answer", e.PersonAnswered(**BY, answer="eu"), "ann answered: eu"),
        (ASK, "answer", e.ToolDenied(**BY), "denied by ann: no reason given"),
    ],
)
def test_what_a_person_decides_is_waited_for_read_and_gone_on_from(
    wanted: Replied, permission: str, decision: e.AnyEvent, shown: str
) -> None:
    play = Player(make_agent(), wanted, Replied("ok"))
    assert play.say() == "waiting"
    (known,) = play.thread.session.pending
    assert (known.permission, known.expires_at) == (permission, NOW + timedelta(days=7))
    assert play.run(decision) == "idle"
    assert play.texts()[-1] == shown
    assert play.answers == ["ok"]


def test_calls_are_stored_before_they_are_made_and_run_at_once() -> None:
    met = asyncio.Barrier(2)

    async def meet() -> str:
        await met.wait()
        assert play.kinds[-2:] == ["tool_requested", "tool_requested"]
        return "met"

    play = Player(make_agent(tool(meet)), wants(("meet", {}), ("meet", {})), Replied("ok"))
    assert play.say() == "idle"
    assert play.texts()[-2:] == ["met", "met"]


@pytest.mark.factor("A4")
@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (("fly", {}), "there is no tool 'fly': only look, stumble, deploy, send, ask_person"),
        (("finish", {"answer": "x"}), "there is no tool 'finish': only look"),
        (("look", {"plaec": "x"}), "plaec: Extra inputs are not permitted"),
        (("look", '{"place": '), "not JSON: Extra inputs are not permitted"),
        (("deploy", "1.4.2"), "version: Field required; not JSON: Extra inputs"),
    ],
)
def test_a_call_that_fits_no_tool_is_refused_in_few_words(
    wanted: tuple[str, dict[str, Any] | str], error: str
) -> None:
    play = Player(make_agent(), wants(wanted), Replied("ok"))
    assert play.say() == "idle"
    assert play.texts()[-1].startswith(f"error: {error}")
    assert "tool_requested" not in play.kinds


def exits() -> None:
    sys.exit(3)


async def is_cancelled() -> None:
    raise asyncio.CancelledError


def stops() -> None:
    raise StopIteration


def fails() -> None:
    raise ToolError("no such place")


def breaks() -> None:
    raise ValueError("bad " * 1000)


@pytest.mark.parametrize("function", [exits, is_cancelled, stops, fails, breaks])
def test_a_tool_that_raises_anything_is_survived(
    function: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    made = tool(seconds=0.2)(function)
    play = Player(make_agent(made), wants((made.name, {})), Replied("ok"))
    assert play.say() == "idle"
    assert play.kinds.count("tool_failed") == 1
    assert play.texts()[-1].startswith("error: ")
    assert len(play.texts()[-1]) < 320
    logged = [record.message for record in caplog.records if record.module == "acts"]
    assert logged == ["tool broke"] * (function is not fails), "a bug is told"


def test_an_act_whose_end_got_lost_is_done_again_under_its_key() -> None:
    keys: list[str] = []

    async def write(context: Context) -> str:
        keys.append(context.key)
        if len(keys) == 1:
            raise Unavailable("it may be written")
        return "written"

    play = Player(make_agent(tool(write), look), wants(("write", {})), Replied("ok"))
    with pytest.raises(Unavailable):
        play.say()
    assert play.run() == "idle"
    assert keys == ["s:c1", "s:c1"]


def test_of_calls_at_once_the_ends_that_are_known_are_not_lost_with_the_one_that_is_not() -> None:
    tries: list[str] = []

    async def write() -> None:
        tries.append("write")
        if len(tries) == 1:
            raise Unavailable("it may be written")

    paid, pays = counted(idempotent=False)
    calls = wants((paid.name, {}), ("write", {}))
    play = Player(make_agent(tool(write), paid), calls, Replied("ok"))
    assert play.say() == "idle"
    assert (len(tries), len(pays)) == (2, 1)


def test_what_came_back_before_a_worker_was_stopped_is_kept() -> None:
    async def stop() -> None:
        async def hang() -> None:
            step.cancel()
            await asyncio.Event().wait()

        paid, _ = counted(idempotent=True)
        play.agent = make_agent(tool(hang), paid)
        play.begin()
        play.store(said("go"))
        await play.step()
        step = asyncio.create_task(play.step())
        await step

    play = Player(make_agent(), wants(("act", {}), ("hang", {})))
    asyncio.run(stop())
    assert play.kinds[-1] == "tool_returned"


def test_a_worker_that_is_told_to_stop_takes_no_tool_for_broken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def stop() -> None:
        began = asyncio.Event()

        async def hang() -> None:
            began.set()
            await asyncio.Event().wait()

        play.agent = make_agent(tool(hang))
        play.begin()
        play.store(said("go"))
        await play.step()
        step = asyncio.create_task(play.step())
        await began.wait()
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step

    play = Player(make_agent(), wants(("hang", {})))
    asyncio.run(stop())
    assert play.kinds[-1] == "tool_requested"
    assert not caplog.records


def test_a_tool_that_is_gone_with_a_release_fails() -> None:
    play = Player(make_agent(), DEPLOY, Replied("ok"))
    play.say()
    play.agent = make_agent(look)
    play.begin()
    assert play.run(e.ToolApproved(**BY)) == "idle"
    assert play.texts()[-1] == "error: there is no tool 'deploy': only look, ask_person"


def counted(*, idempotent: bool) -> tuple[Tool, list[str]]:
    keys: list[str] = []

    async def act(context: Context, text: str = "") -> None:
        keys.append(context.key)

    return tool(idempotent=idempotent)(act), keys


def test_every_repeat_of_a_call_has_the_same_key() -> None:
    act, keys = counted(idempotent=True)
    play = Player(make_agent(act), wants(("act", {}), ("act", {})), Replied("ok"))

    async def repeat() -> None:
        play.store(said("go"))
        await play.step()
        for _ in range(2):
            await play.step(killed=True)
            play.begin()

    asyncio.run(repeat())
    assert play.run() == "idle"
    assert keys == ["s:c1", "s:c2"] * 3


@pytest.mark.parametrize("is_lost", [True, False])
def test_what_must_not_run_twice_is_marked_first_and_runs_once(is_lost: bool) -> None:
    """Also where the mark itself was not stored."""
    act, keys = counted(idempotent=False)
    play = Player(make_agent(act, look), wants(("act", {}), ("look", {})), Replied("ok"))

    async def begin() -> None:
        play.store(said("go"))
        await play.step()
        await play.step(killed=is_lost)

    asyncio.run(begin())
    assert play.run() == "idle"
    assert keys == ["s:c1"]
    assert play.kinds[-5:-2] == ["tool_started", "tool_returned", "tool_returned"]


@pytest.mark.factor("A7")
@pytest.mark.parametrize("ran", [True, False])
def test_of_what_began_in_a_process_that_died_a_person_is_asked(ran: bool) -> None:
    """It is not run again; and what was said meanwhile does not have to wait for the answer."""
    act, keys = counted(idempotent=False)
    long = wants(("act", {"text": "x" * 1000}))
    play = Player(make_agent(act), long, Replied("soon"), Replied("ok"))

    async def die() -> None:
        play.store(said("go"))
        await play.step()
        assert [event.kind for event in await play.step(said("hurry"))] == ["tool_started"]
        if ran:
            await play.step(killed=True)
        play.begin()

    asyncio.run(die())
    assert play.run() == "waiting"
    assert play.answers == ["soon"]
    (known,) = play.thread.session.pending
    assert known.permission == "answer"
    assert known.reason.startswith("c1, act with {'text': 'xxx")
    assert known.reason.endswith("x: it began, and nobody knows what came of it. Did it happen?")
    assert len(known.reason) < 400
    assert play.answer(known.call.id, "it did") == "idle"
    assert play.texts()[-1] == "Of c2: ann answered: it did"
    assert len(keys) == ran


def test_a_finish_has_to_stand_alone() -> None:
    end = ("finish", {"answer": "bye"})
    play = Player(make_agent(finishes=True), wants(end, ("look", {})), wants(end))
    assert play.say() == "done"
    assert "error: call it alone, once the other tools have returned" in play.texts()


def test_a_tool_of_the_agents_own_may_be_called_finish() -> None:
    play = Player(make_agent(replace(look, name="finish")), wants(("finish", {})), Replied("ok"))
    assert play.say() == "idle"
    assert play.texts()[-1] == "here is well"

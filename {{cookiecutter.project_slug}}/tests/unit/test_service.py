"""The use cases, on ports in memory."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.history import Stored
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.errors import Conflict, NotFound, Unavailable
from {{ cookiecutter.package_name }}.ports import Backing
from {{ cookiecutter.package_name }}.service import ADVANCE, Service

from ..fakes import FakeBacking, FakeLive, FakeProcesses, FakeQueue, FakeSessions, upkeep_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ASKS = e.ToolRequested(
    at=NOW,
    call=e.Call(id="c1", tool="deploy", arguments={"version": "1"}),
    permission="ask",
    expires_at=NOW,
)
QUESTION = ASKS.model_copy(update={"permission": "answer"})
RUNS = ASKS.model_copy(update={"permission": "auto"})
THOUGHT = e.ModelAnswered(at=NOW, seen=2, model="m", text="hi")
ANSWERED = e.AgentAnswered(at=NOW, text="hi")


class World:
    def __init__(self, *backing: Backing) -> None:
        self.sessions, self.queue = FakeSessions(), FakeQueue()
        self.processes, self.live = FakeProcesses(), FakeLive()
        prompts = {"v1": "old", "v2": "new"}
        agents = {name: Agent(name=name, description="", prompts=prompts) for name in ("a", "b")}
        self.service = Service(
            sessions=self.sessions,
            queue=self.queue,
            live=self.live,
            agents=agents,
            clock=lambda: NOW,
        )
        self.upkeep = upkeep_of(self.service, *backing, processes=self.processes)

    async def session(self, *events: e.AnyEvent) -> str:
        """A session with a message and what came of it."""
        session = await self.service.start()
        await self.service.say(session, "go")
        await self.append(session, *events)
        return session

    async def append(self, session: str, *events: e.AnyEvent) -> None:
        assert await self.sessions.append(self.sessions.threads[session], *events)

    def status(self, session: str) -> str:
        return self.sessions.threads[session].session.status


def play(act: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(act(World()))


@pytest.mark.factor("A2")
def test_a_session_starts_with_the_first_agent_and_its_newest_prompt() -> None:
    async def act(world: World) -> None:
        session = await world.service.start(metadata={"ticket": 7})
        summary = await world.service.summary(session)
        assert (summary.agent, summary.prompt, summary.status) == ("a", "v2", "idle")
        assert summary.metadata == {"ticket": 7}
        other = await world.service.start(agent="b")
        assert (await world.service.summary(other)).agent == "b"
        with pytest.raises(NotFound, match="no agent 'c': only a, b"):
            await world.service.start(agent="c")

    play(act)


def test_a_message_makes_the_session_ready_and_queues_it() -> None:
    async def act(world: World) -> None:
        session = await world.session()
        assert world.status(session) == "ready"
        assert world.queue.sent == [(ADVANCE, {"lane": "default", "session_id": session})]

    play(act)


def test_a_broker_that_is_down_only_delays_the_answer() -> None:
    async def act(world: World) -> None:
        world.queue.is_down = True
        assert world.status(await world.session()) == "ready"

    play(act)


def test_a_session_begins_with_what_is_said_in_it_and_says_it_once() -> None:
    async def act(world: World) -> None:
        told: dict[str, Any] = {"session_id": str(uuid4()), "key": "k", "by": "ada"}
        for _ in range(3):
            session = await world.service.begin("go", **told)
        (exchange,) = await world.service.history(session)
        assert (session, exchange.message) == (told["session_id"], "go")
        assert world.queue.sent == [(ADVANCE, {"lane": "default", "session_id": session})]
        with pytest.raises(Conflict, match="'k' was sent with another message"):
            await world.service.begin("stop", **told)
        await world.service.begin("and then?", **told | {"key": "l"})
        assert (await world.service.thread(session)).seq == 3

    play(act)


def test_one_key_says_a_thing_once_and_no_other_thing() -> None:
    async def act(world: World) -> None:
        session = await world.service.start()
        said = [await world.service.say(session, "go", key="k") for _ in range(3)]
        assert said == [2, 2, 2]
        with pytest.raises(Conflict, match="'k' was sent with another message"):
            await world.service.say(session, "stop", key="k")

    play(act)


def test_a_reply_is_waited_for_and_belongs_to_its_message() -> None:
    async def act(world: World) -> None:
        session = await world.session()
        waiting = asyncio.create_task(world.service.reply(session, 2, seconds=5))
        while not world.live.watches.get(session):  # noqa: ASYNC110
            await asyncio.sleep(0)
        await world.append(session, THOUGHT, ANSWERED)
        world.live.tell(session, 4)
        reply = await waiting
        assert (reply.exchange.response, reply.thread.session.status) == ("hi", "idle")
        await world.service.say(session, "more")
        again = await world.service.reply(session, 2, seconds=5)
        assert again.exchange.response == "hi"
        unanswered = await world.service.reply(session, 5, seconds=0)
        assert unanswered.exchange.response is None

    play(act)


def test_a_decision_is_taken_once_and_named_by_who_took_it() -> None:
    async def act(world: World) -> None:
        session = await world.session(THOUGHT, ASKS)
        assert world.status(session) == "waiting"
        await world.service.decide(session, "c1", approved=True, by="ada", comment="go")
        assert world.status(session) == "ready"
        event = world.sessions.stored[session][-1].event
        assert event == e.ToolApproved(at=NOW, call_id="c1", by="ada", comment="go")
        await world.service.decide(session, "c1", approved=True, by="bob")
        assert len(world.sessions.stored[session]) == 5, "the same decision again is no other"
        with pytest.raises(Conflict, match=r"request c1 .* has been decided otherwise"):
            await world.service.decide(session, "c1", approved=False, by="bob")
        with pytest.raises((Conflict, NotFound), match="c9"):
            await world.service.decide(session, "c9", approved=True, by="bob")

    play(act)


def test_a_question_wants_an_answer() -> None:
    async def act(world: World) -> None:
        session = await world.session(THOUGHT, QUESTION)
        with pytest.raises(Conflict, match="send an `answer`"):
            await world.service.decide(session, "c1", approved=True, by="ada")
        await world.service.decide(session, "c1", approved=True, by="ada", answer="42")
        event = world.sessions.stored[session][-1].event
        assert event == e.PersonAnswered(at=NOW, call_id="c1", by="ada", answer="42")

    play(act)


def test_paused_and_ended_sessions_say_what_to_do_instead_of_listening() -> None:
    async def act(world: World) -> None:
        session = await world.session()
        await world.service.pause(session, by="ada")
        await world.service.pause(session, by="ada")
        with pytest.raises(Conflict, match="is paused: resume it first"):
            await world.service.say(session, "hello?")
        await world.service.resume(session, by="ada", more=e.Budget())
        assert world.status(session) == "ready"
        await world.service.cancel(session, by="ada")
        await world.service.cancel(session, by="ada")
        for act_on in (
            world.service.say(session, "hello?"),
            world.service.pause(session, by="ada"),
            world.service.resume(session, by="ada", more=e.Budget()),
        ):
            with pytest.raises(Conflict, match="is cancelled: it has ended; fork it"):
                await act_on
        assert len(world.sessions.stored[session]) == 5

    play(act)


def test_a_spent_budget_is_resumed_with_more_of_it() -> None:
    async def act(world: World) -> None:
        spent = e.SessionPaused(at=NOW, reason="the budget is spent: 20 of 20 steps", spent=True)
        session = await world.session(spent)
        with pytest.raises(Conflict, match="20 of 20 steps: resume it with `more`"):
            await world.service.resume(session, by="ada", more=e.Budget())
        more = e.Budget(steps=5, cost=Decimal(1))
        thread = await world.service.resume(session, by="ada", more=more)
        assert (thread.session.status, thread.session.more) == ("ready", more)

    play(act)


@pytest.mark.factor("A5")
def test_a_fork_is_a_session_of_its_own_that_repeats_no_deed() -> None:
    async def act(world: World) -> None:
        session = await world.session(THOUGHT, RUNS)
        fork = await world.service.fork(session)
        first = world.sessions.stored[fork][0].event
        assert isinstance(first, e.SessionStarted)
        assert first.forked_from == f"{session}@4"
        assert world.sessions.stored[fork][-1].event.kind == "tool_failed"
        assert world.status(session) == world.status(fork) == "ready"
        early = await world.service.fork(session, at=1)
        assert world.status(early) == "idle"
        with pytest.raises(NotFound, match="has no event 9: its last is 4"):
            await world.service.fork(session, at=9)

    play(act)


def test_a_fork_of_what_has_ended_goes_on_from_before_its_end() -> None:
    async def act(world: World) -> None:
        session = await world.session()
        await world.service.cancel(session, by="ada")
        assert world.status(await world.service.fork(session)) == "ready"
        assert world.status(await world.service.fork(session, at=3)) == "cancelled"

    play(act)


def test_a_decision_is_known_however_much_came_after_it() -> None:
    async def act(world: World) -> None:
        session = await world.session(THOUGHT, ASKS)
        await world.service.decide(session, "c1", approved=True, by="ada")
        thread = world.sessions.threads[session]
        state = thread.session.model_dump(mode="json")
        await world.append(session, e.ContextCompacted(at=NOW, summary="", keep=0, state=state))
        await world.service.decide(session, "c1", approved=True, by="bob")
        with pytest.raises(Conflict, match="decided otherwise"):
            await world.service.decide(session, "c1", approved=False, by="bob")

    play(act)


def test_an_answer_comes_with_the_state_that_it_made() -> None:
    async def act(world: World) -> None:
        session = await world.session()
        events = world.sessions.events

        async def answered_meanwhile(*args: Any, **given: Any) -> list[Stored]:
            if world.status(session) == "ready":
                await world.append(session, THOUGHT, ANSWERED)
            return await events(*args, **given)

        world.sessions.events = answered_meanwhile  # type: ignore[method-assign]
        reply = await world.service.reply(session, 2, seconds=0)
        assert reply.exchange.response is not None
        assert reply.thread.session.status == "idle"

    play(act)


def test_the_history_has_one_entry_a_message() -> None:
    async def act(world: World) -> None:
        session = await world.session(THOUGHT, ANSWERED)
        await world.service.say(session, "more")
        told = [(x.message, x.response) for x in await world.service.history(session)]
        assert told == [("go", "hi"), ("more", None)]

    play(act)


def test_unknown_sessions_are_named() -> None:
    async def act(world: World) -> None:
        for asked in (
            world.service.say("nope", "x"),
            world.service.thread("nope"),
            world.service.history("nope"),
            world.service.delete("nope"),
            world.service.fork("nope"),
        ):
            with pytest.raises(NotFound, match="session nope does not exist"):
                await asked

    play(act)


def test_the_sweep_recovers_what_was_lost_late_or_poisonous() -> None:
    async def act(world: World) -> None:
        lost, late, poison = [await world.session(*with_) for with_ in ((), (THOUGHT, ASKS), ())]
        world.queue.sent.clear()
        world.processes.dead = 1
        world.sessions.stale = [(lost, "default")]
        world.sessions.late = [late]
        world.sessions.poison = [poison]
        assert await world.upkeep.sweep() == 1
        assert (ADVANCE, {"lane": "default", "session_id": lost}) in world.queue.sent
        assert world.sessions.stored[late][-1].event.kind == "decision_timed_out"
        assert world.status(poison) == "failed"

    play(act)


def test_a_session_that_can_not_be_swept_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def act(world: World) -> None:
        broken, late, gone, lost = [await world.session(THOUGHT, ASKS) for _ in range(4)]
        await world.service.delete(gone)
        load = world.sessions.load

        async def fails(session_id: str) -> Thread | None:
            if session_id == broken:
                raise ValueError("of a newer release")
            return await load(session_id)

        world.sessions.load = fails  # type: ignore[method-assign]
        world.sessions.late = [broken, gone, late]
        world.sessions.stale = [(lost, "default")]
        assert await world.upkeep.sweep() == 1
        assert world.sessions.stored[late][-1].event.kind == "decision_timed_out"

    play(act)
    assert "session can't be swept" in caplog.messages


def test_what_begins_anew_meanwhile_is_no_poison() -> None:
    async def act(world: World) -> None:
        session = await world.session(THOUGHT, ANSWERED)
        world.sessions.poison = [session]
        await world.upkeep.sweep()
        assert world.status(session) == "idle"

    play(act)


def test_what_a_broker_that_is_away_did_not_take_is_still_to_send() -> None:
    async def act(world: World) -> None:
        world.sessions.stale = [("a", "default"), ("b", "default")]
        world.queue.is_down = True
        with pytest.raises(Unavailable):
            await world.upkeep.sweep()
        assert world.sessions.back == ["a", "b"]

    play(act)


def test_cleanup_and_delete_leave_nothing() -> None:
    async def act(world: World) -> None:
        session = await world.session()
        await world.service.delete(session)
        assert world.sessions.threads == {}
        await world.session()
        assert await world.upkeep.cleanup() == 0

    play(act)


def test_each_fault_is_named_and_none_holds_up_the_others() -> None:
    class Hanging:
        name = "broker"

        async def ping(self) -> None:
            await asyncio.Event().wait()

    down = FakeBacking("database", fault=Unavailable("refused"))
    upkeep = World(down, FakeBacking("schema"), Hanging()).upkeep
    faults = asyncio.run(upkeep.faults())
    assert faults == {"database": "refused", "schema": None, "broker": "no answer within 0.05 s"}
    assert set(asyncio.run(upkeep.broken())) == {"database", "broker"}


def test_a_fault_of_ours_is_not_taken_for_the_services() -> None:
    upkeep = World(FakeBacking("database", fault=ZeroDivisionError())).upkeep
    with pytest.raises(ZeroDivisionError):
        asyncio.run(upkeep.faults())


def test_many_who_ask_for_faults_at_once_are_told_of_one_look() -> None:
    class Slow(FakeBacking):
        asked = 0

        async def ping(self) -> None:
            self.asked += 1
            await asyncio.sleep(0)

    backing = Slow("broker")
    upkeep = World(backing).upkeep

    async def act() -> None:
        told = await asyncio.gather(*(upkeep.faults() for _ in range(50)))
        assert told == [{"broker": None}] * 50
        assert backing.asked == 1
        await upkeep.faults()
        assert backing.asked == 2, "the next one asks anew"

    asyncio.run(act())


@pytest.mark.parametrize(("text", "most"), [("go", 100), ("x" * 100_000, 6)])
def test_messages_pile_up_only_so_high_before_the_model_has_heard_them(
    text: str, most: int
) -> None:
    async def act(world: World) -> None:
        session = await world.service.start()
        for number in range(most):
            await world.service.say(session, text, key=str(number))
        with pytest.raises(Conflict, match=f"has {most} messages that were not answered yet"):
            await world.service.say(session, text)
        assert await world.service.say(session, text, key="0") == 2, "a repeat adds nothing"
        await world.append(session, THOUGHT.model_copy(update={"seen": most}), ANSWERED)
        await world.service.say(session, text)

    play(act)

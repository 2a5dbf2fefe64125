"""The engine on a store in memory: what happens when others change a session meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.ports import Answer, Request, Wanted
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.agent.tools import tool
from {{ cookiecutter.package_name }}.engine import Engine
from {{ cookiecutter.package_name }}.errors import ModelError, Unavailable
from {{ cookiecutter.package_name }}.service import Service

from ..fakes import FakeLive, FakeQueue, FakeSessions

ME = 7
Act = Callable[["World"], Coroutine[Any, Any, None]]


@tool
def look() -> str:
    """Looks."""
    return "all is well"


@tool
def stumble() -> str:
    """Falls."""
    msg = "a broken tool"
    raise RuntimeError(msg)


class Model:
    """Says what it is told to, and remembers what it was asked."""

    name = "openai:fake"

    def __init__(self) -> None:
        self.says: list[Answer | Exception | str] = []
        self.asked: list[Request] = []
        self.thinks: Callable[[], Awaitable[object]] | None = None

    async def answer(self, request: Request, *, on_text: Callable[[str], None]) -> Answer:
        self.asked.append(request)
        if meanwhile := self.thinks:
            self.thinks = None
            await meanwhile()
        said = self.says.pop(0) if self.says else "done"
        if isinstance(said, Exception):
            raise said
        if isinstance(said, Answer):
            return said
        on_text(said)
        return Answer(said, (), e.Usage(), "fake")


class World:
    def __init__(self) -> None:
        self.sessions, self.queue, self.live = FakeSessions(), FakeQueue(), FakeLive()
        self.model = Model()
        agent = Agent(name="one", description="", prompts={"v1": "be"}, tools=(look, stumble))
        self.service = Service(
            sessions=self.sessions,
            queue=self.queue,
            live=self.live,
            agents={"one": agent},
            clock=now,
        )
        self.steps: list[list[e.AnyEvent]] = []
        self.interruptions: list[str] = []
        self.engine = Engine(
            sessions=self.sessions,
            queue=self.queue,
            live=self.live,
            agents={"one": agent},
            model=self.model,
            clock=now,
            owner=lambda: ME,
            context_tokens=10_000,
            decision_time=timedelta(days=1),
            on_step=lambda _, events: self.steps.append(list(events)),
            on_interruption=self.interruptions.append,
        )

    async def said(self, text: str = "go") -> str:
        session = await self.service.start()
        await self.service.say(session, text)
        return session

    def kinds(self, session: str) -> list[str]:
        return [stored.event.kind for stored in self.sessions.stored[session]]

    def status(self, session: str) -> str:
        return self.sessions.threads[session].session.status


def now() -> datetime:
    return datetime.now(UTC)


def calls(name: str) -> Answer:
    return Answer("", (Wanted(name, {}),), e.Usage(), "fake")


def play(act: Act) -> None:
    asyncio.run(act(World()))


def test_a_session_is_stepped_until_it_is_answered_and_let_go() -> None:
    async def act(world: World) -> None:
        world.model.says = [calls("look"), "all is well"]
        session = await world.said()
        await world.engine.advance(session)
        assert world.kinds(session)[2:] == [
            "model_answered",
            "tool_requested",
            "tool_returned",
            "model_answered",
            "agent_answered",
        ]
        assert (world.status(session), world.sessions.owners) == ("idle", {})
        assert len(world.steps) == 3
        await world.engine.advance(session)
        assert len(world.steps) == 3, "nothing is to do"

    play(act)


def test_what_the_user_says_while_the_model_thinks_is_answered_too() -> None:
    async def act(world: World) -> None:
        session = await world.said()
        world.model.thinks = lambda: world.service.say(session, "and that?")
        world.model.says = ["to the first", "to the second"]
        await world.engine.advance(session)
        history = await world.service.history(session)
        assert [x.message for x in history] == ["go", "and that?"]
        assert history[-1].response == "to the second"
        assert world.status(session) == "idle"
        last = [m.text for m in world.model.asked[-1].messages]
        assert last == ["go", "to the first", "and that?"]

    play(act)


@pytest.mark.parametrize("wins", ["cancel", "pause"])
def test_a_cancel_or_a_pause_wins_against_the_step_in_flight(wins: str) -> None:
    async def act(world: World) -> None:
        session = await world.said()
        world.model.thinks = lambda: getattr(world.service, wins)(session, by="me")
        world.model.says = [calls("look"), "never said"]
        await world.engine.advance(session)
        assert world.status(session) == {"cancel": "cancelled", "pause": "paused"}[wins]
        assert world.kinds(session)[-2:] == ["model_answered", "tool_requested"], (
            "what was paid for"
        )
        assert world.sessions.owners == {}
        assert len(world.model.asked) == 1

    play(act)


def test_a_budget_that_is_raised_while_it_is_found_spent_is_not_spent() -> None:
    async def act(world: World) -> None:
        session = await world.said()
        spent = world.sessions.threads[session].session.model_copy(update={"steps": 20})
        thread = world.sessions.threads[session]
        world.sessions.threads[session] = type(thread)(thread.id, spent, thread.events)
        world.sessions.before_commit = lambda name: world.service.say(name, "go on")
        await world.engine.advance(session)
        assert "session_paused" not in world.kinds(session)
        assert world.status(session) == "idle"

    play(act)


def test_who_loses_the_lease_stops_and_writes_nothing() -> None:
    async def act(world: World) -> None:
        session = await world.said()

        async def stolen() -> None:
            world.sessions.owners[session] = ME + 1

        world.model.thinks = stolen
        await world.engine.advance(session)
        assert world.kinds(session) == ["session_started", "user_spoke"]
        assert world.sessions.owners == {session: ME + 1}
        assert (world.steps, world.interruptions) == ([], ["lease"])

    play(act)


def test_a_model_that_does_not_answer_is_asked_again_later_and_then_a_person() -> None:
    async def act(world: World) -> None:
        session = await world.said()
        world.model.says = [ModelError("away")] * 3
        for _ in range(3):
            await world.engine.advance(session)
            assert world.sessions.owners == {}, "nobody holds it while it waits"
        assert world.kinds(session).count("model_failed") == 3
        await world.engine.advance(session)
        assert world.status(session) == "waiting"
        (question,) = world.sessions.threads[session].session.pending
        assert "away" in question.reason

    play(act)


def test_a_provider_that_asks_for_a_wait_is_left_alone_so_long() -> None:
    async def act(world: World) -> None:
        session = await world.said()
        world.model.says = [ModelError("busy")]
        world.model.says[0].retry_after = 600  # type: ignore[union-attr]
        began = now()
        await world.engine.advance(session)
        assert (world.sessions.wakes[session] or began) >= began + timedelta(minutes=10)
        failed = world.sessions.stored[session][-1].event
        assert isinstance(failed, e.ModelFailed)
        assert failed.wait == 600

    play(act)


def test_a_tool_that_breaks_is_a_short_error_for_the_model() -> None:
    async def act(world: World) -> None:
        world.model.says = [calls("stumble"), "never mind"]
        session = await world.said()
        await world.engine.advance(session)
        assert world.model.asked[-1].messages[-1].text == "error: RuntimeError: a broken tool"
        assert world.status(session) == "idle"

    play(act)


def test_a_fault_of_ours_lets_go_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def act(world: World) -> None:
        session = await world.said()
        world.model.says = [ZeroDivisionError("ours")]
        await world.engine.advance(session)
        assert (world.status(session), world.sessions.owners) == ("ready", {})
        assert "session broke off" in caplog.text
        assert world.interruptions == ["fault"]
        await world.engine.advance(session)
        assert world.status(session) == "idle"

    play(act)


def test_a_draining_worker_queues_the_rest_for_another() -> None:
    async def act(world: World) -> None:
        session = await world.said()
        world.model.says = [calls("look")]
        world.engine.draining = True
        world.queue.sent.clear()
        await world.engine.advance(session)
        assert (world.status(session), world.sessions.owners) == ("ready", {})
        assert [task for task, _ in world.queue.sent] == ["sessions.advance"]
        assert len(world.steps) == 1

    play(act)


def test_what_can_not_be_let_go_while_the_database_is_away_is_let_go_later() -> None:
    async def act(world: World) -> None:
        session = await world.said()
        away = True
        release = world.sessions.release

        async def fails(session_id: str, **how: Any) -> None:
            if away:
                raise Unavailable("away")
            await release(session_id, **how)

        world.sessions.release = fails  # type: ignore[method-assign]
        world.model.says = [Unavailable("away")]
        with pytest.raises(Unavailable):
            await world.engine.advance(session)
        assert world.interruptions == ["backing"]
        await world.engine.tidy()
        assert world.sessions.owners == {session: ME}
        away = False
        await world.engine.tidy()
        assert world.sessions.owners == {}

    play(act)


def test_a_session_of_an_agent_that_is_gone_waits_for_a_release_that_has_it() -> None:
    async def act(world: World) -> None:
        session = await world.said()
        world.engine.agents = {}
        await world.engine.advance(session)
        assert world.status(session) == "paused"
        assert "no agent 'one'" in (world.sessions.threads[session].session.paused or "")

    play(act)


@pytest.mark.parametrize("its_own", [True, False], ids=["its own", "another of it"])
def test_a_step_that_is_there_already_is_not_stored_again(its_own: bool) -> None:
    """As where the connection ends between a commit and its answer."""
    world = World()
    commit, unheard = world.engine.sessions.commit, iter([True])

    async def commits(after: Thread, events: Sequence[e.AnyEvent], **more: Any) -> bool:
        if not next(unheard, False):
            return await commit(after, events, **more)
        if not its_own:
            events = [event.model_copy(update={"at": now()}) for event in events]
            before = await world.sessions.load(after.id)
            assert before
            after = before.after(*events)
        assert await commit(after, events, **more)
        return False

    world.engine.sessions.commit = commits  # type: ignore[method-assign]

    async def scenario() -> list[str]:
        session = await world.said("go")
        world.model.says = [calls("look")]
        await world.engine.advance(session)
        return world.kinds(session)

    kinds = asyncio.run(scenario())
    assert kinds.count("tool_requested") == kinds.count("tool_returned") == 1

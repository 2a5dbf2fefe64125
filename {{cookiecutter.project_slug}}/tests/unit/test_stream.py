"""The stream of a session's events, on a store in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.history import Stored
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.entrypoints.web import stream
from {{ cookiecutter.package_name }}.entrypoints.web.stream import Stopping, follow
from {{ cookiecutter.package_name }}.errors import Unavailable
from {{ cookiecutter.package_name }}.service import Service

from ..fakes import FakeLive, FakeQueue, FakeSessions

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Store(FakeSessions):
    """One that may be away, and counts how often it is looked at."""

    is_away = False
    looks = 0

    async def load(self, session_id: str) -> Thread | None:
        self.looks += 1
        return await super().load(session_id)

    async def events(self, session_id: str, *, after: int, limit: int) -> list[Stored]:
        self.looks += 1
        if self.is_away:
            raise Unavailable("the database does not answer")
        return await super().events(session_id, after=after, limit=limit)


class World:
    def __init__(self) -> None:
        self.store, self.live = Store(), FakeLive()
        self.stopping = Stopping(self.live)
        self.is_let_in = True
        self.service = Service(
            sessions=self.store,
            queue=FakeQueue(),
            live=self.live,
            agents={"one": Agent(name="one", description="", prompts={"v1": ""})},
            clock=lambda: NOW,
        )

    async def started(self, *texts: str) -> str:
        session = await self.service.start()
        for text in texts:
            await self.service.say(session, text)
        return session

    async def lets_in(self) -> bool:
        return self.is_let_in

    def follow(self, session: str, *, after: int = 0) -> "Client":
        return Client(
            follow(
                self.service,
                session,
                after=after,
                stopping=self.stopping,
                is_let_in=self.lets_in,
            )
        )


class Client:
    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def next(self) -> str:
        async with asyncio.timeout(10):
            return (await anext(self._chunks)).decode()

    async def is_at_its_end(self) -> bool:
        async with asyncio.timeout(10):
            return await anext(self._chunks, None) is None


def play(act: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        await act(World())

    asyncio.run(run())


def ids(chunk: str) -> list[int]:
    return [int(line[4:]) for line in chunk.splitlines() if line.startswith("id: ")]


def test_what_is_stored_comes_first_and_then_what_happens() -> None:
    async def act(world: World) -> None:
        session = await world.started("hello")
        client = world.follow(session)
        assert ids(await client.next()) == [1, 2]
        world.live.token(session, "He\nllo")
        assert await client.next() == 'event: token\ndata: {"text": "He\\nllo"}\n\n'
        await world.service.say(session, "again")
        event = await client.next()
        assert ids(event) == [3]
        assert event.startswith('event: user_spoke\ndata: {"seq":3,')

    play(act)


def test_a_stream_goes_on_where_another_dropped() -> None:
    async def act(world: World) -> None:
        session = await world.started("one", "two", "three")
        assert ids(await world.follow(session, after=2).next()) == [3, 4]

    play(act)


def test_news_of_what_has_been_seen_are_no_reason_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "ALIVE_SECONDS", 0.01)

    async def act(world: World) -> None:
        session = await world.started("one")
        client = world.follow(session)
        assert ids(await client.next()) == [1, 2]
        looks = world.store.looks
        world.live.tell(session, 2)
        assert await client.next() == ": alive\n\n"
        assert world.store.looks == looks

    play(act)


def test_many_events_come_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PAGE", 2)

    async def act(world: World) -> None:
        session = await world.started("one", "two", "three")
        client = world.follow(session)
        assert [ids(await client.next()) for _ in range(2)] == [[1, 2], [3, 4]]

    play(act)


def test_a_silent_stream_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "ALIVE_SECONDS", 0.01)

    async def act(world: World) -> None:
        client = world.follow(await world.started())
        await client.next()
        assert [await client.next() for _ in range(3)] == [": alive\n\n"] * 3

    play(act)


def test_a_database_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "AWAY_SECONDS", 0.01)

    async def act(world: World) -> None:
        session = await world.started("one")
        client = world.follow(session)
        world.store.is_away = True
        assert await client.next() == ": alive\n\n"
        assert await client.next() == ": alive\n\n"
        world.store.is_away = False
        assert ids(await client.next()) == [1, 2]

    play(act)


def test_a_stream_ends_with_its_session() -> None:
    async def act(world: World) -> None:
        session = await world.started("one")
        client = world.follow(session)
        await client.next()
        await world.service.delete(session)
        assert await client.is_at_its_end()
        assert not world.live.watches[session]

    play(act)


def test_a_stream_ends_before_a_key_that_is_out_hears_any_more() -> None:
    async def act(world: World) -> None:
        session = await world.started("one")
        client = world.follow(session)
        await client.next()
        world.is_let_in = False
        world.live.token(session, "for nobody's ears")
        assert await client.is_at_its_end()

    play(act)


def test_streams_and_waiting_messages_end_when_the_server_stops() -> None:
    async def act(world: World) -> None:
        session = await world.started("one")
        client = world.follow(session)
        await client.next()
        reply = asyncio.create_task(
            world.service.reply(session, 2, seconds=60, stopping=world.stopping)
        )
        await asyncio.sleep(0)
        world.stopping.begin()
        assert await client.is_at_its_end()
        async with asyncio.timeout(10):
            assert not (await reply).is_settled

    play(act)


def test_text_that_streams_by_is_no_reason_to_look_for_an_answer() -> None:
    async def act(world: World) -> None:
        session = await world.started("one")
        reply = asyncio.create_task(world.service.reply(session, 2, seconds=60))
        await asyncio.sleep(0)
        assert world.live.watches[session]
        looks = world.store.looks
        for word in ("h", "i") * 5:
            world.live.token(session, word)
            await asyncio.sleep(0)
        assert world.store.looks == looks
        thread = await world.service.thread(session)
        thought = e.ModelAnswered(at=NOW, seen=2, model="m", text="hi")
        await world.store.append(thread, thought, e.AgentAnswered(at=NOW, text="hi"))
        world.live.tell(session, 4)
        async with asyncio.timeout(10):
            assert (await reply).exchange.response == "hi"

    play(act)

"""The cap that all processes share, on a real database; a cap of its own is a process here."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from {{ cookiecutter.package_name }}.adapters.answers import Failure
from {{ cookiecutter.package_name }}.adapters.caps import PostgresCap
from {{ cookiecutter.package_name }}.adapters.runtime import make_model
from {{ cookiecutter.package_name }}.agent.ports import Request, Said
from {{ cookiecutter.package_name }}.errors import Unavailable
from {{ cookiecutter.package_name }}.settings import Settings

from ..processes import PACKAGE, Process
from .conftest import Database
from .test_worker import say, until

KILL = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'cap'"""
SLOTS = 3
A_WHILE = 0.3
REQUEST = Request("", (Said("hi"),))
HOLDER = f"""
import asyncio, sys
from contextlib import AsyncExitStack
from {PACKAGE}.adapters.caps import PostgresCap

async def hold():
    cap = PostgresCap(sys.argv[1], slots={SLOTS}, application="cap")
    async with AsyncExitStack() as held:
        for _ in range({SLOTS}):
            await held.enter_async_context(cap.slot("openai:a"))
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""
Act = Callable[[PostgresCap, PostgresCap], Awaitable[None]]


@pytest.fixture
def run(database_url: str) -> Callable[[Act], None]:
    """Runs a scenario with the caps of two processes."""

    async def scenario(act: Act) -> None:
        one, two = (PostgresCap(database_url, slots=SLOTS, application="cap") for _ in range(2))
        try:
            async with asyncio.timeout(30):
                await act(one, two)
        finally:
            await one.close()
            await two.close()

    return lambda act: asyncio.run(scenario(act))


@asynccontextmanager
async def all_slots(cap: PostgresCap, model: str = "openai:a") -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as held:
        for _ in range(SLOTS):
            await held.enter_async_context(cap.slot(model))
        yield held


async def gets_one(cap: PostgresCap, model: str = "openai:a") -> bool:
    async with cap.slot(model):
        return True


async def is_full(cap: PostgresCap, model: str = "openai:a") -> bool:
    """Whether nobody gets a slot within a while."""
    with suppress(TimeoutError):
        async with asyncio.timeout(A_WHILE):
            return not await gets_one(cap, model)
    return True


def test_all_processes_together_stay_below_the_cap(run: Callable[[Act], None]) -> None:
    taken, most = 0, 0

    async def use(cap: PostgresCap, is_full: asyncio.Event) -> None:
        nonlocal taken, most
        async with cap.slot("openai:a"):
            taken += 1
            most = max(most, taken)
            if taken == SLOTS:
                is_full.set()
            await is_full.wait()
            await asyncio.sleep(0.01)
            taken -= 1

    async def act(one: PostgresCap, two: PostgresCap) -> None:
        is_full = asyncio.Event()
        await asyncio.gather(*(use(cap, is_full) for cap in (one, two) for _ in range(15)))

    run(act)
    assert most == SLOTS


def test_a_slot_that_comes_free_goes_to_who_waits_in_another_process(
    run: Callable[[Act], None],
) -> None:
    async def act(one: PostgresCap, two: PostgresCap) -> None:
        async with all_slots(one):
            assert await is_full(one)
            assert await is_full(two)
        async with all_slots(two):
            assert await is_full(one)

    run(act)


def test_each_provider_has_slots_of_its_own(run: Callable[[Act], None]) -> None:
    async def act(one: PostgresCap, two: PostgresCap) -> None:
        async with all_slots(one, "openai:a"):
            assert await is_full(two, "openai:b")
            assert await gets_one(two, "anthropic:a")

    run(act)


def test_a_killed_process_leaves_its_slots_to_others(
    run: Callable[[Act], None], database_url: str
) -> None:
    async def act(one: PostgresCap, two: PostgresCap) -> None:
        assert await is_full(one)
        holder.kill()
        async with all_slots(one):
            assert await is_full(two)

    command = [sys.executable, "-c", HOLDER, database_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        try:
            run(act)
        finally:
            holder.kill()


def test_who_gives_up_waiting_or_is_cut_short_leaves_no_slot_taken(
    run: Callable[[Act], None],
) -> None:
    async def use(cap: PostgresCap, seconds: float) -> None:
        async with cap.slot("openai:a"):
            await asyncio.sleep(seconds)

    async def act(one: PostgresCap, two: PostgresCap) -> None:
        assert await gets_one(one)
        for turns in range(100):
            task = asyncio.ensure_future(use(one, seconds=60 * (turns % 2)))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        async with all_slots(two):
            assert await is_full(one)
        async with all_slots(one):
            assert await is_full(two)

    run(act)


def test_a_lost_connection_loses_no_answer_and_is_made_again(
    run: Callable[[Act], None], database: Database
) -> None:
    async def act(one: PostgresCap, two: PostgresCap) -> None:
        async with all_slots(one):
            database.execute(KILL)
        with suppress(Unavailable):  # where it has not noticed yet
            assert await gets_one(one)
        async with all_slots(one):
            assert await is_full(two)

    run(act)


def test_the_setting_caps_the_runtime(
    run: Callable[[Act], None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL", "scripted:echo")
    monkeypatch.setenv("MODEL_CONCURRENCY", str(SLOTS))

    async def act(one: PostgresCap, _: PostgresCap) -> None:
        runtime = make_model(settings.load())
        async with all_slots(one, "scripted:echo"):
            asked = asyncio.ensure_future(runtime.answer(REQUEST, on_text=print))
            await asyncio.wait([asked], timeout=A_WHILE)
            assert not asked.done()
        assert (await asked).text
        await runtime.close()

    run(act)


def test_a_database_that_is_away_is_said_to_be() -> None:
    async def act() -> None:
        cap = PostgresCap("postgresql://app@127.0.0.1:1/app", slots=1, application="cap")
        async with cap.slot("openai:a"):
            pytest.fail("there is nobody to give it")

    with pytest.raises(Unavailable, match="the database does not answer"):
        asyncio.run(act())


def test_a_model_that_cools_down_is_left_alone_and_no_other(run: Callable[[Act], None]) -> None:
    async def act(one: PostgresCap, two: PostgresCap) -> None:
        one.cool_down("openai:a", 60)
        with pytest.raises(Failure, match="wants 60 s of rest"):
            await gets_one(one)
        assert await gets_one(one, "openai:b")
        async with all_slots(two):
            assert await is_full(one, "openai:b")

    run(act)


def test_a_worker_with_a_cap_answers(
    start: Callable[..., Process], database: Database, settings: Settings
) -> None:
    session = say(settings)
    start("work", MODEL_CONCURRENCY="1").healthy()
    until(database, session, "idle")

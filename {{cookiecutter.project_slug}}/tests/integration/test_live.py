"""Live news between processes, over a real database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import monotonic
from uuid import uuid4

import psycopg
import pytest

from {{ cookiecutter.package_name }}.adapters import live
from {{ cookiecutter.package_name }}.adapters.live import PostgresLive
from {{ cookiecutter.package_name }}.adapters.postgres import Postgres
from {{ cookiecutter.package_name }}.adapters.sessions import PostgresSessions
from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.ports import News, Watch
from {{ cookiecutter.package_name }}.service import OPERATOR

AWAY = "postgresql://app@127.0.0.1:1/app"
KILL = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = %s"""
STARTED = e.SessionStarted(at=datetime(2026, 1, 1, tzinfo=UTC), agent="release", prompt="v1")
HEAL = 0.05


@asynccontextmanager
async def opened(url: str, application: str = "teller") -> AsyncIterator[PostgresLive]:
    one = PostgresLive(url, application=application)
    await one.open()
    try:
        yield one
    finally:
        await one.close()


async def started(url: str) -> str:
    """The id of a session that the store knows."""
    database = Postgres(url, pool_size=1, application="store")
    await database.open()
    thread = Thread.of(str(uuid4()), [STARTED])
    await PostgresSessions(database).start(thread, thread.events, metadata={}, whose=OPERATOR)
    await database.close()
    return thread.id


async def heard(watch: Watch, wanted: Callable[[News], bool]) -> News:
    async with asyncio.timeout(20):
        while True:
            news = await watch.next(20)
            if news and wanted(news):
                return news


async def listens(watch: Watch) -> None:
    """Returns when the watcher has been told how far its session is."""
    await heard(watch, lambda news: news.seq == 1)


def scenario(act: Callable[[str], Awaitable[None]], url: str) -> None:
    async def run() -> None:
        await act(url)

    asyncio.run(run())


def test_what_one_process_tells_all_that_watch_the_session_hear_in_order(database_url: str) -> None:
    async def act(url: str) -> None:
        session, other = await started(url), await started(url)
        async with (
            opened(url) as teller,
            opened(url) as one,
            opened(url) as two,
            one.watch(session) as a,
            two.watch(session) as b,
            two.watch(other) as c,
        ):
            for watch in (a, b, c):
                await listens(watch)
            for text in ("Hello ", "wörld \U0001f600", "\0", "\ud83d"):
                teller.token(session, text)
            teller.tell(session, 2)
            for watch in (a, b):
                said = ""
                while (news := await watch.next(20)) and news.text:
                    said += news.text
                assert said == "Hello wörld \U0001f600\ufffd\ufffd"
                assert news == News(seq=2)
            assert await c.next(0) is None

    scenario(act, database_url)


def test_a_long_text_of_equal_pieces_arrives_whole(database_url: str) -> None:
    async def act(url: str) -> None:
        session = await started(url)
        async with opened(url) as one, one.watch(session) as watch:
            await listens(watch)
            one.token(session, "x" * 19_000)
            one.tell(session, 2)
            said = ""
            while (news := await watch.next(20)) and news.text:
                said += news.text
            assert said == "x" * 19_000

    scenario(act, database_url)


def test_thousands_of_news_reach_every_watcher_and_the_newest_is_never_lost(
    database_url: str,
) -> None:
    async def act(url: str) -> None:
        sessions = [await started(url) for _ in range(20)]
        async with opened(url) as teller, opened(url) as hearer:

            async def watch(session: str) -> None:
                async with hearer.watch(session) as watch:
                    await listens(watch)
                    ready.release()
                    await heard(watch, lambda news: news.seq == 100)

            ready = asyncio.Semaphore(0)
            watchers = [asyncio.create_task(watch(sessions[n % 20])) for n in range(100)]
            for _ in watchers:
                await ready.acquire()
            for seq in range(2, 101):
                for session in sessions:
                    teller.token(session, "word ")
                    teller.tell(session, seq)
                await asyncio.sleep(0)
            await asyncio.gather(*watchers)

    scenario(act, database_url)


def test_after_a_lost_connection_nothing_that_matters_stays_unheard(database_url: str) -> None:
    async def act(url: str) -> None:
        session = await started(url)
        async with (
            opened(url) as teller,
            opened(url, "hearer") as hearer,
            hearer.watch(session) as watch,
        ):
            await listens(watch)
            teller.tell(session, 2)
            await heard(watch, lambda news: news.seq == 2)
            with psycopg.connect(url, autocommit=True) as beside:
                beside.execute(KILL, ["hearer"])
                beside.execute("UPDATE sessions SET seq = 3")
                await heard(watch, lambda news: news.seq == 3)
                beside.execute(KILL, ["teller"])
                teller.token(session, "too late")
                teller.tell(session, 4)
            assert await heard(watch, lambda news: news.seq == 4)

    scenario(act, database_url)


def test_news_that_got_lost_are_made_up_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", HEAL)

    async def act(url: str) -> None:
        session = await started(url)
        async with opened(url) as one, one.watch(session) as watch:
            await listens(watch)
            with psycopg.connect(url, autocommit=True) as beside:
                beside.execute("UPDATE sessions SET seq = 7")
                assert await heard(watch, lambda news: news.seq == 7)
                beside.execute("DELETE FROM sessions")
                assert await heard(watch, lambda news: news == News())

    scenario(act, database_url)


def test_what_was_told_last_still_goes_out_before_the_end(database_url: str) -> None:
    async def act(url: str) -> None:
        session = await started(url)
        async with opened(url) as hearer, hearer.watch(session) as watch:
            await listens(watch)
            async with opened(url) as teller:
                teller.tell(session, 2)
            assert await watch.next(20) == News(seq=2)

    scenario(act, database_url)


def test_watchers_are_woken_at_once(database_url: str) -> None:
    async def act(url: str) -> None:
        async with opened(url) as one, one.watch(str(uuid4())) as watch:
            one.wake()
            assert await watch.next(20) == News()

    scenario(act, database_url)


@pytest.mark.usefixtures("server")
def test_a_database_that_is_away_holds_up_nothing() -> None:
    async def act(url: str) -> None:
        began = monotonic()
        async with opened(url) as one, one.watch(str(uuid4())) as watch:
            one.tell("session", 1)
            one.token("session", "text")
            assert await watch.next(0.01) is None
        assert monotonic() - began < 5

    scenario(act, AWAY)

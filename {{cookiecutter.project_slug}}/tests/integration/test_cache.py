"""Where the cache is kept: the same claims hold for PostgreSQL and for a Redis."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator

import pytest

from {{ cookiecutter.package_name }}.adapters import cache as adapter
from {{ cookiecutter.package_name }}.adapters.cache import PostgresCache, RedisCache
from {{ cookiecutter.package_name }}.adapters.postgres import Postgres
from {{ cookiecutter.package_name }}.bootstrap import running
from {{ cookiecutter.package_name }}.cache import Cache, Cached
from {{ cookiecutter.package_name }}.entrypoints import leash
from {{ cookiecutter.package_name }}.errors import Unavailable
from {{ cookiecutter.package_name }}.settings import Settings

from ..processes import PATIENCE, eventually
from .conftest import Database
from .test_brokers import answers
from tools.stack import free_port

Act = Callable[[Cache], Awaitable[None]]
Run = Callable[[Act], None]
ODD = bytes(range(256))
SOON = 0.05


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of these tests' own."""
    program, port, parent = shutil.which("redis-server"), free_port(), os.getpid()
    if program is None:
        pytest.skip("there is no redis server on this machine")
    folder = tmp_path_factory.mktemp("cache")
    with subprocess.Popen(
        [program, "--port", str(port), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: leash.tie(parent, signal.SIGTERM),
    ) as process:
        try:
            eventually(lambda: answers(port), "Redis answers")
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.fixture(params=["postgresql", "redis"])
def run(request: pytest.FixtureRequest, database_url: str) -> Run:
    """Runs a scenario on an empty cache."""

    async def on_postgresql(act: Act) -> None:
        database = Postgres(database_url, pool_size=4, application="cache")
        await database.open()
        try:
            await act(PostgresCache(database))
        finally:
            await database.close()

    async def on_redis(act: Act) -> None:
        cache = RedisCache(request.getfixturevalue("redis_url"), prefix=f"{request.node.name}:")
        try:
            await act(cache)
        finally:
            await cache.close()

    chosen = on_postgresql if request.param == "postgresql" else on_redis
    return lambda act: asyncio.run(chosen(act))


@pytest.mark.factor("IV")
def test_what_is_put_is_there_for_its_time_and_the_last_counts(run: Run) -> None:
    async def act(cache: Cache) -> None:
        assert await cache.get("a") is None
        await cache.put("a", b"old", seconds=SOON)
        await cache.put("a", ODD, seconds=60)
        await cache.put("b", b"", seconds=60)
        await cache.put("c", b"short", seconds=SOON)
        async with asyncio.timeout(PATIENCE):
            while await cache.get("c"):
                assert await cache.get("a") == ODD
        assert [await cache.get(key) for key in "abc"] == [ODD, b"", None]
        await cache.delete("a")
        await cache.delete("a")
        assert await cache.get("a") is None

    run(act)


def test_many_at_once_put_the_same_key(run: Run) -> None:
    async def act(cache: Cache) -> None:
        values = [str(number).encode() for number in range(50)]
        await asyncio.gather(*(cache.put("a", value, seconds=60) for value in values))
        assert await cache.get("a") in values

    run(act)


def test_cleanup_drops_what_is_over_and_nothing_else(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "PORTION", 10)

    async def act() -> None:
        async with running(settings, "test") as app:
            await app.upkeep.cache.put("kept", b"x", seconds=60)
            await app.upkeep.cleanup()

    database.execute("INSERT INTO cache SELECT n::text, '', now() FROM generate_series(1, 25) n")
    asyncio.run(act())
    assert database.execute("SELECT key FROM cache").fetchall() == [("kept",)]


@pytest.mark.factor("IV")
def test_a_url_chooses_where_the_cache_is_and_two_processes_share_it(
    settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    async def looked_up(answer: str) -> str:
        async with running(Settings.load(), "test") as app:

            @Cached(app.upkeep.cache, ttl=60)(seconds=30)
            async def look_up() -> str:
                return answer

            return await look_up()

    def rows() -> object:
        return database.execute("SELECT count(*) FROM cache").fetchall()

    monkeypatch.setenv("CACHE_URL", redis_url)
    assert [asyncio.run(looked_up(answer)) for answer in ("one", "two")] == ["one", "one"]
    assert rows() == [(0,)]
    monkeypatch.delenv("CACHE_URL")
    assert [asyncio.run(looked_up(answer)) for answer in ("three", "four")] == ["three", "three"]
    assert rows() == [(1,)]
    assert settings


def test_a_redis_that_is_away_is_said_in_one_line_without_its_password() -> None:
    async def act() -> None:
        cache = RedisCache("redis://:hunter2@127.0.0.1:1/0", prefix="")
        with pytest.raises(Unavailable, match="CACHE_URL") as caught:
            await cache.get("a")
        await cache.close()
        assert "\n" not in str(caught.value)
        assert "hunter2" not in str(caught.value)

    asyncio.run(act())


def test_rows_of_the_cache_may_be_lost_in_a_crash(database: Database) -> None:
    """So they cost no write-ahead log."""
    kept = "SELECT relpersistence FROM pg_class WHERE oid = 'cache'::regclass"
    assert database.execute(kept).fetchone() == ("u",)

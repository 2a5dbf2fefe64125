"""Factor IV: database, broker, cache and model are attached by URL, may be another, and may go."""

import asyncio
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from {{ cookiecutter.package_name }}.adapters.cache import RedisCache
from {{ cookiecutter.package_name }}.errors import Unavailable

from ..formats import Say
from ..processes import Process, eventually
from ..wire import Wire
from .test_processes import answered
from tools.stack import Postgres, Redis, free_port

Start = Callable[..., Process]


@pytest.fixture
def another_postgresql(passable: Path) -> Iterator[Postgres]:
    """A server of the test's own, which it may stop."""
    postgres = Postgres(passable)
    yield postgres
    postgres.stop()


@pytest.fixture
def redis(tmp_path: Path) -> Callable[[int], Redis]:
    """Starts one on a port."""
    if (binary := shutil.which("redis-server")) is None:
        pytest.skip("there is no redis server on this machine")
    return lambda port: Redis(binary, tmp_path, port=port)


def count(url: str) -> object:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT count(*) FROM sessions").fetchone()


@pytest.mark.factor("IV")
def test_another_postgresql_is_a_url_away_and_one_that_comes_back_is_used_again(
    start: Start, another_postgresql: Postgres, database_url: str
) -> None:
    url = another_postgresql.create()
    web, worker = start("serve", DATABASE_URL=url), start("work", DATABASE_URL=url)
    scheduler = start("schedule", DATABASE_URL=url).logged("scheduler leads")
    assert answered(web.healthy(path="/ready"))["status"] == "idle"
    assert (count(url), count(database_url)) == ((1,), (0,))
    another_postgresql.stop()
    eventually(lambda: web.get("/ready").status_code == 503, "it is not ready without it")
    assert web.post("/chat/sessions").status_code == 503
    worker.logged("worker missed a beat")
    scheduler.logged("scheduler waits for a backing service")
    for process in (web, worker, scheduler):
        assert process.get("/health").status_code == 200, "and yet it lives"
    another_postgresql.start()
    assert answered(web.healthy(path="/ready"))["status"] == "idle"
    assert count(url) == (2,)


@pytest.mark.factor("IV")
def test_a_broker_that_comes_back_is_brought_what_was_said_meanwhile(
    start: Start, redis: Callable[[int], Redis]
) -> None:
    port = free_port()
    by = {"BROKER_URL": f"redis://127.0.0.1:{port}/0"}
    web, *_ = [start(command, **by).healthy() for command in ("serve", "work", "schedule")]
    session = web.post("/chat/sessions").headers["location"]
    told = web.post(f"{session}/messages", {"text": "hello"}, Prefer="respond-async")
    assert told.status_code == 202, told.text
    assert web.get("/ready").status_code == 503
    broker = redis(port)
    try:
        eventually(lambda: web.get(session).json()["status"] == "idle", "it is answered")
        assert answered(web.healthy(path="/ready"))["status"] == "idle"
    finally:
        broker.stop()


@pytest.mark.factor("IV")
def test_a_cache_that_comes_back_is_used_again(redis: Callable[[int], Redis]) -> None:
    port = free_port()

    async def scenario() -> None:
        cache = RedisCache(f"redis://127.0.0.1:{port}/0", prefix="x:")
        for value in (b"one", b"two"):
            with pytest.raises(Unavailable):
                await cache.get("a")
            server = redis(port)
            await cache.put("a", value, seconds=60)
            assert await cache.get("a") == value
            server.stop()
        await cache.close()

    asyncio.run(scenario())


@pytest.mark.factor("IV")
def test_another_model_provider_is_a_url_away_and_one_that_was_away_is_asked_again(
    start: Start,
) -> None:
    web = start("serve").healthy()
    one, other = Wire([Say(text=("of one",))]), Wire([Say(text=("of another",))], port=free_port())

    def worker(wire: Wire) -> Process:
        own = {"OPENAI_BASE_URL": f"http://127.0.0.1:{wire.port}/v1", "OPENAI_API_KEY": "none"}
        return start("work", MODEL="openai:gpt-x", **own).healthy().logged("worker started")

    with one:
        first = worker(one)
        assert answered(web)["response"] == "of one"
        first.signal(signal.SIGTERM)
        assert first.ended() == 0
    second = worker(other)
    session = web.post("/chat/sessions").headers["location"]
    web.post(f"{session}/messages", {"text": "hello"}, Prefer="respond-async")
    second.logged("model failed")
    with other:
        eventually(lambda: web.get(session).json()["status"] == "idle", "it is answered")
        history = web.get(f"{session}/history").json()["history"]
    assert [exchange["response"] for exchange in history] == ["of another"]

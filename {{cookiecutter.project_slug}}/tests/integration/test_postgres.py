"""The store, on a real database."""

import asyncio
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from psycopg import generators, sql

from {{ cookiecutter.package_name }}.adapters.postgres import (
    LINK,
    Postgres,
)
from {{ cookiecutter.package_name }}.adapters.schedule import PostgresJobs, PostgresLeader
from {{ cookiecutter.package_name }}.adapters.schema import Schema
from {{ cookiecutter.package_name }}.bootstrap import running
from {{ cookiecutter.package_name }}.errors import Unavailable
from {{ cookiecutter.package_name }}.settings import Settings

KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"


def test_every_connection_notices_a_server_that_is_gone_without_a_word(
    database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[set[tuple[str, str]]] = []
    connect = generators.connect

    def spy(conninfo: str) -> Generator[Any, Any, Any]:
        connection = yield from connect(conninfo)
        known = {
            option.keyword.decode(): (option.val or b"").decode() for option in connection.info
        }
        opened.append(set(known.items()))
        return connection

    async def scenario() -> None:
        async with running(settings, "test") as app:
            session = await app.service.start()
            await app.service.say(session, "hello")
            await app.leader.leads()
            await app.processes.beat()

    monkeypatch.setattr(generators, "connect", spy)
    asyncio.run(scenario())
    Schema(database_url).current()
    assert len(opened) > 4
    wanted = {(name, str(value)) for name, value in LINK.items()}
    assert [known for known in opened if not wanted <= known] == []


def test_a_job_never_seen_counts_from_now_and_its_last_run_is_kept(database_url: str) -> None:
    async def scenario() -> None:
        database = Postgres(database_url, pool_size=1, application="test")
        await database.open()
        jobs = PostgresJobs(database)
        assert datetime.now(UTC) - await jobs.last_run("job") < timedelta(seconds=10)
        then = datetime(2026, 1, 1, tzinfo=UTC)
        await jobs.record("job", ran_at=then)
        assert await jobs.last_run("job") == then
        await database.close()

    asyncio.run(scenario())


def test_one_leads_until_its_connection_is_gone(database_url: str) -> None:
    async def scenario() -> None:
        first = PostgresLeader(database_url, application="first")
        second = PostgresLeader(database_url, application="second")
        assert await first.leads()
        assert await first.leads()
        assert not await second.leads()
        with psycopg.connect(database_url, autocommit=True) as beside:
            beside.execute(KILL, ["first"])
        with pytest.raises(Unavailable):
            await first.leads()
        assert await second.leads()
        assert not await first.leads()
        await first.close()
        await second.close()

    asyncio.run(scenario())


def test_a_pool_gets_over_a_restart_of_the_database(database_url: str) -> None:
    async def scenario() -> None:
        database = Postgres(database_url, pool_size=5, application="mortal")
        await database.open()
        await asyncio.gather(*(database.rows("SELECT pg_sleep(0.1)") for _ in range(5)))
        with psycopg.connect(database_url, autocommit=True) as beside:
            assert len(beside.execute(KILL, ["mortal"]).fetchall()) > 1
        await asyncio.gather(*(database.rows("SELECT 1") for _ in range(5)))
        await database.close()

    asyncio.run(scenario())


@pytest.mark.direct("it changes a setting of the session")
def test_a_server_that_takes_no_writes_any_more_is_left_for_the_one_that_does(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    standby = f"{database_url}?options=-c%20default_transaction_read_only%3Don"

    async def writes() -> None:
        database = Postgres(database_url, pool_size=1, application="test")
        await database.open()
        await database.rows("SET default_transaction_read_only = on")
        await PostgresJobs(database).last_run("job")
        await database.close()

    async def writes_nowhere() -> None:
        async with running(Settings.load(), "test") as app:
            for write in (app.service.start, app.processes.beat):
                with pytest.raises(Unavailable, match="read-only"):
                    await write()

    asyncio.run(writes())
    monkeypatch.setenv("DATABASE_URL", standby)
    asyncio.run(writes_nowhere())


def test_a_database_that_is_away_is_said_in_one_line_with_the_reason() -> None:
    async def scenario() -> None:
        url = "postgresql://app:hunter2@127.0.0.1:1/app"
        database = Postgres(url, pool_size=1, application="test")
        await database.open()
        with pytest.raises(Unavailable, match="refused") as caught:
            await database.ping()
        await database.close()
        assert "\n" not in str(caught.value)
        assert "hunter2" not in str(caught.value)

    asyncio.run(scenario())


def test_a_migration_says_that_the_server_takes_no_writes(empty_database: str) -> None:
    standby = f"{empty_database}?options=-c%20default_transaction_read_only%3Don"
    with pytest.raises(Unavailable, match="read-only"):
        Schema(standby).upgrade()


@pytest.mark.factor("IV")
def test_any_password_and_option_reach_database_and_broker(
    settings: Settings,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    name, password = f"odd {uuid4().hex[:8]}'\\", "p@ss: w%r/d'\\ = {x}"
    with psycopg.connect(database_url, autocommit=True) as beside:
        create = sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}")
        beside.execute(create.format(sql.Identifier(name), sql.Literal(password)))
    place = database_url.rpartition("@")[2]
    odd = f"postgresql://{quote(name, safe='')}:{quote(password, safe='')}@{place}"
    monkeypatch.setenv("DATABASE_URL", f"{odd}?sslmode=disable&application_name=odd%20one")

    async def scenario() -> dict[str, str | None]:
        async with running(Settings.load(), "test") as app:
            await app.service.say(await app.service.start(), "hello")
            return await app.upkeep.faults()

    assert asyncio.run(scenario()) == {"database": None, "schema": None, "broker": None}
    with psycopg.connect(database_url, autocommit=True) as beside:
        assert beside.execute("SELECT count(*) FROM pgmq.q_advance_default").fetchone() == (1,)
    monkeypatch.setenv("DATABASE_URL", f"{odd}?sslmode=require")
    asyncio.run(ask_the_broker_in_vain())
    said = [record for record in caplog.records if "SSL was required" in record.getMessage()]
    assert "pool.py" in {record.filename for record in said}  # the broker's; ours is pool_async


def test_what_is_not_as_it_should_be_is_named_with_what_to_do(
    settings: Settings, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database)
    monkeypatch.setenv("BROKER_URL", "amqp://127.0.0.1:1")

    async def scenario() -> dict[str, str | None]:
        async with running(settings.load(), "test") as app:
            return await app.upkeep.faults()

    faults = asyncio.run(scenario())
    assert faults.pop("database") is None
    assert "run `migrate`" in str(faults["schema"])
    assert "refused" in str(faults["broker"])


async def ask_the_broker_in_vain() -> None:
    async with running(Settings.load(), "test") as app:
        with pytest.raises(Unavailable, match="the broker does not answer"):
            await app.service.queue.send("nothing")

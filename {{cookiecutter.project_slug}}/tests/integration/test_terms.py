"""On what terms the database is spoken to, and what is told when something takes long."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from uuid import uuid4

import psycopg
import pytest

from {{ cookiecutter.package_name }}.adapters.postgres import Direct, Postgres
from {{ cookiecutter.package_name }}.adapters.schema import MIGRATIONS, Schema, new_migration
from {{ cookiecutter.package_name }}.adapters.terms import USUAL, Terms
from {{ cookiecutter.package_name }}.bootstrap import running
from {{ cookiecutter.package_name }}.errors import Unavailable
from {{ cookiecutter.package_name }}.settings import Settings

from .conftest import Database

LIMITS = """SELECT current_setting('statement_timeout') AS statement,
    current_setting('idle_in_transaction_session_timeout') AS idle"""
PREPARED = "SELECT count(*) AS n FROM pg_prepared_statements"
SECRET = "hunter2"
ASLEEP = """SELECT 1 FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'active' AND query LIKE %s"""


def scenario(act: Callable[[Postgres], Awaitable[None]], url: str, terms: Terms) -> None:
    async def run() -> None:
        store = Postgres(url, pool_size=4, application="store", terms=terms)
        await store.open()
        try:
            await act(store)
        finally:
            await store.close()

    asyncio.run(run())


def test_what_takes_too_long_is_cancelled_and_named_and_the_next_is_answered(
    database_url: str, database: Database
) -> None:
    async def act(store: Postgres) -> None:
        began = monotonic()
        with pytest.raises(Unavailable, match="statement"):
            await store.rows("SELECT pg_sleep(60)")
        assert monotonic() - began < 5
        assert await store.rows("SELECT 1 AS one") == [{"one": 1}]

    scenario(act, database_url, Terms(statement_seconds=0.2))
    assert database.execute(ASLEEP, ["SELECT pg_sleep%"]).fetchone() is None


@pytest.mark.direct("a pooler keeps no setting")
def test_the_server_knows_the_limits_for_the_day_that_nobody_here_can_cancel(
    database_url: str,
) -> None:
    async def act(store: Postgres) -> None:
        assert await store.rows(LIMITS) == [{"statement": "1500ms", "idle": "1500ms"}]
        own = Direct(database_url, application="store")
        assert await own.row(LIMITS) == {"statement": "1min", "idle": "1min"}
        await own.close()

    scenario(act, database_url, Terms(statement_seconds=1.5))


def test_a_limit_of_the_role_is_none_for_migrations(
    another_database: Callable[[], str], tmp_path: Path
) -> None:
    """As docs/data.md has it set where a pooler is in between."""
    url = another_database()
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET statement_timeout = '200ms'".encode())
    migrations = tmp_path / "migrations"
    (migrations / "versions").mkdir(parents=True)
    for file in ("env.py", "script.py.mako"):
        (migrations / file).write_text((MIGRATIONS / file).read_text())
    slow = new_migration("slow", migrations=migrations)
    slow.write_text(slow.read_text().replace("-- expand here", "SELECT pg_sleep(0.5); --"))
    Schema(url, migrations=migrations).upgrade()
    assert Schema(url, migrations=migrations).current() == "0001"


@pytest.mark.direct("it prepares nothing there")
@pytest.mark.parametrize("prepare", [True, False])
def test_statements_are_prepared_unless_told_otherwise(database_url: str, *, prepare: bool) -> None:
    async def act(store: Postgres) -> None:
        for _ in range(10):
            await store.rows("SELECT 7 AS seven")
        (prepared,) = await store.rows(PREPARED)
        assert (prepared["n"] > 0) is prepare

    async def run() -> None:
        store = Postgres(
            database_url, pool_size=1, application="store", terms=Terms(prepare=prepare)
        )
        await store.open()
        await act(store)
        await store.close()

    asyncio.run(run())


def test_a_slow_statement_is_told_by_its_first_words_and_without_its_values(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(store: Postgres) -> None:
        await store.rows(
            "SELECT pg_sleep(0.2),\n    %(password)s::text AS password", password=SECRET
        )

    with caplog.at_level(logging.WARNING):
        scenario(act, database_url, Terms(slow_seconds=0.15))
    (told,) = [record for record in caplog.records if record.getMessage() == "slow statement"]
    said = vars(told)
    assert said["statement"] == "SELECT pg_sleep(0.2), %(password)s::text AS password"
    assert 0.2 <= said["seconds"] < 5
    assert 0 <= said["waited"] < said["seconds"]
    assert SECRET not in caplog.text


def test_a_statement_below_the_threshold_is_not_told(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(store: Postgres) -> None:
        await store.rows("SELECT pg_sleep(0.2)")

    with caplog.at_level(logging.WARNING):
        scenario(act, database_url, Terms(slow_seconds=30))
    assert "slow statement" not in caplog.text


def test_a_wait_for_a_connection_is_told_as_such_and_has_an_end(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        terms = Terms(slow_seconds=0.1, wait_seconds=0.3)
        store = Postgres(database_url, pool_size=1, application="store", terms=terms)
        await store.open()
        await store.rows("SELECT 1")
        held = asyncio.ensure_future(store.rows("SELECT pg_sleep(1)"))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await store.rows("SELECT 'in vain'")
        await held
        await store.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    told = {vars(r)["statement"]: vars(r) for r in caplog.records if "slow" in r.getMessage()}
    assert told["SELECT 'in vain'"]["waited"] >= 0.3
    assert told["SELECT pg_sleep(1)"]["waited"] < 0.3


def test_a_slow_send_is_told_by_the_name_of_its_task(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW_QUERY_MS", "0")
    session = str(uuid4())

    async def run() -> None:
        async with running(Settings.load(), "test") as app:
            await app.service.queue.send("sessions.advance", session_id=session)

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    sends = [vars(r)["send"] for r in caplog.records if r.getMessage() == "slow send"]
    assert sends == ["sessions.advance"]
    assert session not in caplog.text
    assert settings


def test_the_settings_are_the_terms(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each at its default is as good as none."""
    made: list[Terms] = []
    original = Postgres.__init__

    def spy(self: Postgres, url: str, *, terms: Terms = USUAL, **given: object) -> None:
        made.append(terms)
        original(self, url, terms=terms, **given)  # type: ignore[arg-type]

    async def run() -> None:
        async with running(Settings.load(), "test"):
            return

    monkeypatch.setattr(Postgres, "__init__", spy)
    asyncio.run(run())
    given = {
        "DATABASE_PREPARE": "off",
        "DATABASE_DIRECT_URL": settings.database_url.get_secret_value() + "?application_name=x",
        "DATABASE_POOL_WAIT": "1",
        "DATABASE_POOL_IDLE": "2",
        "DATABASE_POOL_LIFETIME": "3",
        "DATABASE_STATEMENT_TIMEOUT": "4",
        "SLOW_QUERY_MS": "5000",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    asyncio.run(run())
    assert made == [
        USUAL,
        Terms(
            prepare=False,
            is_pooled=True,
            wait_seconds=1,
            idle_seconds=2,
            lifetime_seconds=3,
            statement_seconds=4,
            slow_seconds=5,
        ),
    ]

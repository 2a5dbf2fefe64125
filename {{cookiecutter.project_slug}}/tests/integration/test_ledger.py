"""The deployment ledger: the same claims hold for the real one and for the one in memory."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from {{ cookiecutter.package_name }}.adapters.ledger import (
    COMPLETE,
    GET,
    RECENT,
    RECENT_THERE,
    RECORD,
    PostgresLedger,
)
from {{ cookiecutter.package_name }}.adapters.postgres import Postgres
from {{ cookiecutter.package_name }}.errors import NotFound
from {{ cookiecutter.package_name }}.ledger import Ledger

from ..fakes import FakeLedger
from .conftest import Database

Act = Callable[[Ledger], Coroutine[Any, Any, None]]
Run = Callable[[Act], None]


@pytest.fixture(params=["postgresql", "memory"])
def run(request: pytest.FixtureRequest, database_url: str) -> Run:
    """Runs a scenario on an empty ledger."""

    async def on_postgresql(act: Act) -> None:
        database = Postgres(database_url, pool_size=4, application="ledger")
        await database.open()
        try:
            await act(PostgresLedger(database))
        finally:
            await database.close()

    if request.param == "memory":
        return lambda act: asyncio.run(act(FakeLedger()))
    return lambda act: asyncio.run(on_postgresql(act))


def key(call: str = "c1") -> str:
    return f"{uuid4()}:{call}"


def test_a_line_is_read_back_as_it_was_recorded(run: Run) -> None:
    async def act(ledger: Ledger) -> None:
        made = await ledger.record(
            key=key(), version="1.4.2", environment="staging", deployed_by="ada", commit="abc123"
        )
        assert (made.version, made.environment, made.status) == ("1.4.2", "staging", "started")
        assert (made.deployed_by, made.commit, made.completed_at) == ("ada", "abc123", None)
        assert await ledger.get(made.id) == made
        back = await ledger.record(
            key=key(), version="1.4.1", environment="staging", rollback_of=made.id
        )
        assert back.rollback_of == made.id
        assert back.started_at >= made.started_at
        assert await ledger.get(back.id + 1) is None

    run(act)


def test_a_key_makes_one_line_however_often_and_at_once_it_comes(run: Run) -> None:
    async def act(ledger: Ledger) -> None:
        same = key()

        async def record() -> int:
            made = await ledger.record(key=same, version="1.4.2", environment="staging")
            return made.id

        first = await asyncio.gather(*(record() for _ in range(8)))
        done = await ledger.complete(first[0], status="succeeded")
        again = await ledger.record(key=same, version="1.4.2", environment="staging")
        assert {*first, again.id} == {done.id}
        assert again == done, "the line as it is now"
        assert await ledger.recent(limit=10) == [done]

    run(act)


def test_the_newest_lines_come_first_of_one_environment_or_of_all(run: Run) -> None:
    async def act(ledger: Ledger) -> None:
        places = ("staging", "production", "staging")
        lines = [
            await ledger.record(key=key(), version=f"1.0.{n}", environment=place)
            for n, place in enumerate(places)
        ]
        assert await ledger.recent(limit=2) == [lines[2], lines[1]]
        assert await ledger.recent("staging", limit=9) == [lines[2], lines[0]]
        assert await ledger.recent("development", limit=9) == []

    run(act)


def test_the_first_end_counts_and_only_a_rollback_comes_after_it(run: Run) -> None:
    async def act(ledger: Ledger) -> None:
        line = await ledger.record(key=key(), version="1.4.2", environment="staging")
        failed = await ledger.complete(line.id, status="failed")
        assert failed.status == "failed"
        assert failed.completed_at
        assert await ledger.complete(line.id, status="succeeded") == failed
        undone = await ledger.complete(line.id, status="rolled_back")
        assert (undone.status, undone.completed_at) == ("rolled_back", failed.completed_at)
        assert await ledger.complete(line.id, status="failed") == undone
        with pytest.raises(NotFound, match="no deployment 4711"):
            await ledger.complete(4711, status="failed")

    run(act)


def test_of_two_ends_at_once_one_counts_and_both_hear_of_it(run: Run) -> None:
    async def act(ledger: Ledger) -> None:
        line = await ledger.record(key=key(), version="1.4.2", environment="staging")
        ends = ("succeeded", "failed") * 4
        told = await asyncio.gather(*(ledger.complete(line.id, status=status) for status in ends))
        assert len({line.status for line in told}) == 1

    run(act)


def test_what_was_done_for_a_session_is_kept_beside_it(
    database_url: str, database: Database
) -> None:
    session = uuid4()

    async def act() -> None:
        store = Postgres(database_url, pool_size=1, application="ledger")
        await store.open()
        ledger = PostgresLedger(store)
        await ledger.record(key=f"{session}:c1", version="1.4.2", environment="staging")
        await store.close()

    asyncio.run(act())
    effects = database.execute("SELECT session_id, request, result FROM effects ORDER BY key")
    assert effects.fetchall() == [
        (session, {"version": "1.4.2", "environment": "staging"}, {"id": 1}),
    ]


def test_no_status_but_the_four_is_taken(database: Database) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        database.execute(
            "INSERT INTO deployments (version, environment, status) VALUES ('1', 'staging', 'odd')"
        )


VALUES = {"key": key(), "id": 1, "environment": "staging", "version": "1", "deployed_by": ""}
VALUES |= {"commit": "", "rollback_of": None, "status": "failed", "limit": 9}
VALUES |= {"lines": "[]"}
INDEXES = [
    (RECENT, "deployments_pkey"),
    (RECENT_THERE, "deployments_by_environment"),
    (GET, "deployments_pkey"),
    (RECORD, "deployments_pkey"),
    (RECORD, "effects_pkey"),
    (COMPLETE, "deployments_pkey"),
]


@pytest.mark.parametrize(("sql", "index"), INDEXES)
def test_every_query_has_its_index(untouched_database: str, sql: str, index: str) -> None:
    with psycopg.connect(untouched_database, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        plan = connection.execute(f"EXPLAIN {sql}".encode(), VALUES).fetchall()
        assert index in str(plan)
        assert "Sort" not in str(plan) or sql is RECORD, "which sorts what it is given"

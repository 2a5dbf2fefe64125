"""Tasks through a real broker to real workers, some of which are stopped or killed."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.adapters.schema import Schema
from {{ cookiecutter.package_name }}.bootstrap import running
from {{ cookiecutter.package_name }}.settings import Settings

from ..processes import Process, eventually
from .conftest import Database

Start = Callable[..., Process]
END_ITS_STATEMENT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = %s AND datname = current_database()"""

END_ALL_OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


def ask(settings: Settings) -> UUID:
    """A check asked as the web process asks it."""

    async def asked() -> UUID:
        async with running(settings, "test") as app:
            return (await app.service.ask()).id

    return asyncio.run(asked())


def answered_by(database: Database, check: UUID) -> int | None:
    """The pid of the worker that answered."""
    row = database.execute("SELECT answered_by FROM checks WHERE id = %s", [check]).fetchone()
    return int(str(row[0]).rpartition(":")[2]) if row and row[0] else None


@contextmanager
def held(database: Database, check: UUID) -> Iterator[None]:
    """A worker that answers this check has to wait until the block ends."""
    with database.transaction():
        database.execute("SELECT 1 FROM checks WHERE id = %s FOR UPDATE", [check])
        yield


@contextmanager
def held_by_a_worker(
    start: Start, database: Database, check: UUID, **environment: str
) -> Iterator[Process]:
    """A worker in the middle of answering this check, until the block ends."""
    with held(database, check):
        worker = start("work", **environment).healthy()
        sql = "SELECT 1 FROM pg_locks WHERE NOT granted"
        eventually(lambda: database.execute(sql).fetchone(), "a worker waits for the row")
        yield worker


@pytest.mark.factor("IX")
def test_a_worker_told_to_stop_finishes_its_task_and_exits_0(
    start: Start, database: Database, settings: Settings
) -> None:
    check = ask(settings)
    with held_by_a_worker(start, database, check) as worker:
        worker.signal(signal.SIGTERM)
        assert answered_by(database, check) is None
    assert worker.ended() == 0, worker.output
    assert answered_by(database, check) == worker.pid
    assert database.execute("SELECT count(*) FROM pgmq.q_default").fetchone() == (0,)


@pytest.mark.factor("IX")
def test_a_worker_out_of_time_hands_its_task_back_and_another_answers(
    start: Start, database: Database, settings: Settings
) -> None:
    check = ask(settings)
    with held_by_a_worker(start, database, check, SHUTDOWN_GRACE="1") as worker:
        worker.signal(signal.SIGTERM)
        assert worker.ended(seconds=10) == 0, worker.output
        assert "task handed back" in worker.output
    second = start("work").healthy()
    by = eventually(lambda: answered_by(database, check), "another worker answers")
    assert by == second.pid


@pytest.mark.factor("VI", "IX")
def test_a_killed_worker_loses_no_task(
    start: Start, database: Database, settings: Settings
) -> None:
    check = ask(settings)
    with held_by_a_worker(start, database, check) as worker:
        worker.signal(signal.SIGKILL)
        worker.ended()
        database.execute(END_ITS_STATEMENT, [f"{about().slug}:worker"])
    second = start("work").healthy()
    database.execute("UPDATE checks SET queue_again_at = now()")
    scheduler = start("schedule").healthy()
    by = eventually(lambda: answered_by(database, check), "another worker answers")
    assert by == second.pid
    assert "swept_total 1.0" in scheduler.get("/metrics").text


@pytest.mark.factor("VI")
def test_what_the_broker_lost_is_queued_again(
    start: Start, database: Database, settings: Settings
) -> None:
    check = ask(settings)
    assert database.execute("SELECT pgmq.purge_queue('default')").fetchone() == (1,)
    database.execute("UPDATE checks SET queue_again_at = now()")
    start("schedule").healthy()
    start("work").healthy()
    assert eventually(lambda: answered_by(database, check), "a worker answers")


@pytest.mark.factor("VI")
def test_a_killed_leader_is_followed_by_another_scheduler(start: Start) -> None:
    first = start("schedule").healthy().logged("scheduler leads")
    second = start("schedule").healthy()
    assert "scheduler leads" not in second.output
    first.signal(signal.SIGKILL)
    second.logged("scheduler leads")


def test_a_due_job_runs_once_and_its_time_is_kept(start: Start, database: Database) -> None:
    database.execute("INSERT INTO jobs VALUES ('checks.cleanup', now() - interval '2 days')")
    database.execute("INSERT INTO checks (asked_at) VALUES (now() - interval '31 days')")
    start("work").healthy()
    start("schedule").healthy().logged("job started")
    count = "SELECT count(*) FROM checks"
    eventually(lambda: database.execute(count).fetchone() == (0,), "the old check is forgotten")
    seen = database.execute("SELECT last_run > now() - interval '1 minute' FROM jobs").fetchone()
    assert seen == (True,)


@pytest.mark.factor("XI")
def test_an_unmigrated_database_and_a_restarted_one_are_waited_for_in_json_lines(
    start: Start, empty_database: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = start("work", DATABASE_URL=empty_database).healthy()
    scheduler = start("schedule", DATABASE_URL=empty_database).healthy()
    worker.logged("worker waits for a backing service")
    scheduler.logged("scheduler waits for a backing service")
    Schema(empty_database).upgrade()
    scheduler.logged("scheduler leads")
    monkeypatch.setenv("DATABASE_URL", empty_database)
    with psycopg.connect(empty_database, autocommit=True) as database:
        for _ in range(2):
            check = ask(settings.load())
            by = eventually(lambda c=check: answered_by(database, c), "the worker answers")  # type: ignore[misc]
            assert by == worker.pid
            database.execute(END_ALL_OTHERS)
    for process in (worker, scheduler):
        process.end()
        assert len(process.events) == len(process.lines), process.output


def test_scheduler_and_worker_wait_for_a_database_that_is_away(start: Start) -> None:
    away = "postgresql://app@127.0.0.1:1/app"
    scheduler = start("schedule", DATABASE_URL=away).healthy()
    scheduler.logged("scheduler waits for a backing service")
    worker = start("work", DATABASE_URL=away).healthy()
    for process in (scheduler, worker):
        process.signal(signal.SIGTERM)
        assert process.ended() == 0, process.output

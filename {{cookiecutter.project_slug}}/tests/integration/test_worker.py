"""Sessions through a real broker to real workers, some of which are stopped or killed."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import httpx2
import psycopg
import pytest

from {{ cookiecutter.package_name }}.adapters.runtime import Runtime
from {{ cookiecutter.package_name }}.adapters.schema import Schema
from {{ cookiecutter.package_name }}.bootstrap import engine, running
from {{ cookiecutter.package_name }}.entrypoints import scheduler, worker
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.telemetry.metrics import Metrics
from {{ cookiecutter.package_name }}.telemetry.notes import Notes

from ..processes import Process, eventually
from .conftest import Database
from tools.bench import million
from tools.stack import free_port

Start = Callable[..., Process]
SLOW = "scripted:echo?seconds=60"
END_ALL_OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


def say(settings: Settings, text: str = "hello") -> str:
    """A message said as the web process takes it; the session's id."""

    async def said() -> str:
        async with running(settings, "test") as app:
            session = await app.service.start()
            await app.service.say(session, text)
            return session

    return asyncio.run(said())


def status(database: Database, session: str) -> str:
    row = database.execute("SELECT status FROM sessions WHERE id = %s", [session]).fetchone()
    return str(row[0]) if row else "gone"


def until(database: Database, session: str, wanted: str) -> None:
    eventually(
        lambda: status(database, session) == wanted,
        f"session is {wanted}, not {status(database, session)}",
    )


def health(port: int) -> int:
    with suppress(httpx2.TransportError):
        return httpx2.get(f"http://127.0.0.1:{port}/health", verify=False).status_code
    return 0


def until_claimed(database: Database, session: str) -> None:
    sql = "SELECT 1 FROM sessions WHERE id = %s AND lease_owner IS NOT NULL"
    eventually(lambda: database.execute(sql, [session]).fetchone(), "a worker has it")


def kinds(database: Database, session: str) -> list[str]:
    sql = "SELECT data->>'kind' FROM events WHERE session_id = %s ORDER BY seq"
    return [str(row[0]) for row in database.execute(sql, [session]).fetchall()]


@pytest.mark.factor("IX")
def test_a_worker_told_to_stop_finishes_its_step_and_exits_0(
    start: Start, database: Database, settings: Settings
) -> None:
    session = say(settings)
    worker = start("work", MODEL="scripted:echo?seconds=2").healthy()
    until_claimed(database, session)
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0, worker.output
    assert "model_answered" in kinds(database, session)
    free = "SELECT lease_owner FROM sessions WHERE id = %s"
    assert database.execute(free, [session]).fetchone() == (None,)
    assert database.execute("SELECT * FROM processes").fetchall() == [], worker.output
    start("work").healthy()
    until(database, session, "idle")


@pytest.mark.factor("IX")
@pytest.mark.parametrize("url", ["", "postgresql://app@127.0.0.1:1/app"])
def test_a_worker_is_stopped_at_any_moment_of_its_start(start: Start, url: str) -> None:
    there = {"DATABASE_URL": url} if url else {}
    workers = []
    for moment in (0.05, 0.15, 0.25, 0.35):
        workers.append(start("work", **there))
        time.sleep(moment)
        workers[-1].signal(signal.SIGTERM)
    unheard = -signal.SIGTERM  # it came before anybody listened
    for each in workers:
        assert each.ended(seconds=10) in {0, unheard}, each.output


@pytest.mark.factor("IX")
def test_a_worker_out_of_time_hands_its_session_back_and_another_answers(
    start: Start, database: Database, settings: Settings
) -> None:
    session = say(settings)
    worker = start("work", SHUTDOWN_GRACE="1", MODEL=SLOW).healthy()
    until_claimed(database, session)
    worker.signal(signal.SIGTERM)
    assert worker.ended(seconds=10) == 0, worker.output
    assert "task handed back" in worker.output
    start("work").healthy()
    until(database, session, "idle")


@pytest.mark.factor("IX")
def test_tools_that_never_return_hold_up_nothing_and_no_goodbye(
    start: Start, database: Database, settings: Settings
) -> None:
    worker = start("work").healthy()
    for session in [say(settings, "hang") for _ in range(8)]:
        until(database, session, "idle")
        assert "tool_failed" in kinds(database, session)
    until(database, say(settings, "act"), "idle")
    left = "SELECT 1 WHERE EXISTS (SELECT FROM pgmq.q_advance_default)"
    eventually(lambda: not database.execute(left).fetchone(), "every task is acknowledged")
    worker.signal(signal.SIGTERM)
    assert worker.ended(seconds=10) == 0, worker.output


@pytest.mark.factor("VI", "IX")
def test_a_killed_worker_loses_no_session(
    start: Start, database: Database, settings: Settings
) -> None:
    session = say(settings)
    scheduler = start("schedule").healthy().logged("scheduler leads")
    doomed = start("work", MODEL=SLOW).healthy()
    until_claimed(database, session)
    start("work").logged("worker started").healthy()
    doomed.signal(signal.SIGKILL)
    killed = time.monotonic()
    until(database, session, "idle")
    assert time.monotonic() - killed < 5, "by its lock, not by a long wait"
    assert "dead processes buried" in scheduler.output
    assert kinds(database, session).count("agent_answered") == 1


@pytest.mark.factor("VI")
def test_what_the_broker_lost_is_queued_again(
    start: Start, database: Database, settings: Settings
) -> None:
    session = say(settings)
    purged = database.execute("SELECT pgmq.purge_queue('advance_default')").fetchone()
    assert purged == (1,)
    database.execute("UPDATE sessions SET dispatched_at = now() - interval '6 s'")
    scheduler = start("schedule").healthy().logged("sessions queued again")
    text = scheduler.get("/metrics").text
    for line in ("database_answers 1.0", 'queue_depth{lane="default"} 1.0', "swept_total 1.0"):
        assert f"\n{line}\n" in text
    worker = start("work").healthy()
    until(database, session, "idle")
    eventually(
        lambda: 'steps_total{agent="echo",prompt="v1"}' in worker.get("/metrics").text,
        "its steps are counted",
    )


@pytest.mark.factor("VI")
def test_a_killed_leader_is_followed_by_another_scheduler(start: Start) -> None:
    first = start("schedule").healthy().logged("scheduler leads")
    second = start("schedule").healthy()
    assert "scheduler leads" not in second.output
    first.signal(signal.SIGKILL)
    second.logged("scheduler leads")


@pytest.mark.factor("VI")
def test_a_session_that_kills_its_workers_is_given_up_loudly(
    start: Start, database: Database, settings: Settings
) -> None:
    session = say(settings)
    database.execute("UPDATE sessions SET attempts = 5")
    scheduler = start("schedule").healthy().logged("session failed")
    until(database, session, "failed")
    turns = 'turns_total{agent="echo",outcome="failed",prompt="v1"}'
    eventually(lambda: f"{turns} 1.0" in scheduler.get("/metrics").text, "it is counted")


def test_a_decision_that_nobody_takes_in_time_is_told_to_the_model(
    start: Start, database: Database, settings: Settings
) -> None:
    session = say(settings, "risk")
    start("work", DECISION_DAYS="0.000001").healthy()
    scheduler = start("schedule").healthy()
    eventually(lambda: "decision_timed_out" in kinds(database, session), "it is timed out")
    until(database, session, "idle")
    decisions = 'decision_seconds_count{decision="timed_out"} 1.0'
    assert decisions in scheduler.get("/metrics").text


def test_a_due_job_runs_once_and_its_time_is_kept(
    start: Start, database: Database, settings: Settings
) -> None:
    database.execute("INSERT INTO jobs VALUES ('sessions.cleanup', now() - interval '2 days')")

    async def started() -> str:
        async with running(settings, "test") as app:
            return await app.service.start()

    session = asyncio.run(started())
    database.execute("UPDATE sessions SET created_at = created_at - interval '31 d'")
    database.execute("UPDATE sessions SET updated_at = created_at")
    start("work").healthy()
    start("schedule").healthy().logged("job started")
    until(database, session, "gone")
    seen = database.execute("SELECT bool_and(last_run > now() - interval '1 minute') FROM jobs")
    assert seen.fetchone() == (True,)


def test_the_day_is_reported_in_one_event_on_the_lane_of_the_deploy(
    start: Start, database: Database
) -> None:
    database.execute("INSERT INTO jobs VALUES ('sessions.report', now() - interval '2 days')")
    worker = start("work", LANE="blue").healthy()
    start("schedule", LANE="blue").healthy().logged("job started")
    (report,) = [e for e in worker.logged("daily report").events if e["event"] == "daily report"]
    assert {"since", "until", "sessions", "events", "tokens", "cost", "waiting"} <= report.keys()
    assert report["tokens"] == 0


def test_a_lane_has_its_own_worker_and_leaves_its_sessions_to_the_default_one(
    start: Start, database: Database
) -> None:
    default = start("work").healthy(path="/ready")
    web = start("serve", LANE="beta").healthy()
    beta = start("work", LANE="beta").healthy(path="/ready")
    start("schedule").healthy()
    session = web.post("/chat/sessions").headers["location"]
    assert web.post(f"{session}/messages", {"text": "hello"}).json()["status"] == "idle"
    took = 'tasks_total{outcome="done",task="sessions.advance"}'
    assert took in beta.get("/metrics").text
    assert took not in default.get("/metrics").text
    beta.signal(signal.SIGTERM)
    assert beta.ended() == 0
    told = web.post(f"{session}/messages", {"text": "hello"}, Prefer="respond-async")
    assert told.status_code == 202
    database.execute("UPDATE sessions SET dispatches = 1, dispatched_at = 'epoch'")
    eventually(lambda: web.get(session).json()["status"] == "idle", "another lane takes it up")
    assert took in default.get("/metrics").text


@pytest.mark.parametrize("command", ["work", "schedule"])
def test_a_process_that_waits_for_what_it_needs_lives_and_is_not_ready(
    command: str, start: Start, empty_database: str
) -> None:
    """Or a rollout would take away what works for what never will."""
    for away in ({"DATABASE_URL": empty_database}, {"BROKER_URL": "redis://127.0.0.1:1/0"}):
        waits = start(command, **away).healthy()
        eventually(lambda: waits.get("/ready").status_code == 503, "it says so")  # noqa: B023
        assert "not ready" in waits.get("/ready").text
    ready = start(command).healthy(path="/ready")
    assert ready.get("/ready").json() == {"status": "ready"}
    assert waits.get("/ready").status_code == 503, "so long it had"
    assert waits.get("/health").status_code == 200


def test_a_fault_of_the_scheduler_is_said_and_outlived_and_shown_while_it_stays(
    settings: Settings,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("METRICS_PORT", str(port := free_port()))
    monkeypatch.setattr(scheduler, "STUCK_SECONDS", 1)
    monkeypatch.setattr(scheduler, "RETRY_SECONDS", 0.1)
    say(settings)
    database.execute("UPDATE sessions SET dispatched_at = now() - interval '6 s'")
    database.execute("ALTER TABLE sessions ADD CONSTRAINT fault CHECK (false) NOT VALID")

    async def scenario() -> None:
        ours = scheduler.Scheduler(Settings.load())
        task = asyncio.create_task(ours.run())
        await asyncio.to_thread(eventually, lambda: health(port) == 503, "the fault shows")
        registry = ours._metrics.registry  # noqa: SLF001
        assert registry.get_sample_value("sweep_seconds_count") == 0, "none was finished"
        database.execute("ALTER TABLE sessions DROP CONSTRAINT fault")
        await asyncio.to_thread(eventually, lambda: health(port) == 200, "it is outlived")
        os.kill(os.getpid(), signal.SIGTERM)
        await task

    try:
        asyncio.run(scenario())
    finally:
        database.execute("ALTER TABLE sessions DROP CONSTRAINT IF EXISTS fault")
    assert "scheduler stumbled" in caplog.messages


def test_a_fault_of_the_heart_is_said_and_outlived_and_shown_while_it_stays(
    settings: Settings,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "STILL_SECONDS", 1)
    monkeypatch.setattr(worker, "BEAT_SECONDS", 0.1)
    try:
        with worker.Loop(settings, Metrics(settings, "worker")) as loop:
            assert loop.health()
            assert loop.start_heart(threading.Event())
            database.execute("ALTER TABLE processes ADD CONSTRAINT fault CHECK (false) NOT VALID")
            eventually(lambda: loop.health() is None, "the fault shows")
            database.execute("ALTER TABLE processes DROP CONSTRAINT fault")
            eventually(loop.health, "it is outlived")
            loop.stop_heart()
    finally:
        database.execute("ALTER TABLE processes DROP CONSTRAINT IF EXISTS fault")
    assert "worker's heart stumbled" in caplog.messages


def test_the_model_is_closed_with_the_service(settings: Settings) -> None:
    closed: list[bool] = []

    async def scenario() -> None:
        async with running(settings, "test") as app:
            notes = Notes(metrics=Metrics(settings, "test"), context_tokens=1_000)
            model = engine(settings, app, witness=notes).model
            assert isinstance(model, Runtime)
            model.closing.callback(closed.append, True)

    asyncio.run(scenario())
    assert closed


@pytest.mark.factor("XI", "IV")
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
            until(database, say(settings.load()), "idle")
            database.execute(END_ALL_OTHERS)
    for process in (worker, scheduler):
        process.end()
        assert len(process.events) == len(process.lines), process.output


@pytest.mark.factor("IV")
def test_scheduler_and_worker_wait_for_a_database_that_is_away(start: Start) -> None:
    away = "postgresql://app@127.0.0.1:1/app"
    scheduler = start("schedule", DATABASE_URL=away).healthy()
    scheduler.logged("scheduler waits for a backing service")
    for line in ("database_answers 0.0", "scheduler_leader 0.0"):
        assert f"\n{line}\n" in scheduler.get("/metrics").text
    worker = start("work", DATABASE_URL=away).healthy()
    for process in (scheduler, worker):
        process.signal(signal.SIGTERM)
        assert process.ended() == 0, process.output


def test_what_the_bench_asks_of_a_million_sessions_can_be_asked(settings: Settings) -> None:
    async def asked() -> dict[str, float]:
        async with running(settings, "test") as app:
            return await million.times(app, ready=[await app.service.begin("go")])

    assert min(asyncio.run(asked()).values()) > 0

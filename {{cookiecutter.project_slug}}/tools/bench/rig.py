"""Where figures are measured: one PostgreSQL, brokers, and deploys of the service on them."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from typing import Any, TypeVar

import psycopg
from celery import Celery

from {{ cookiecutter.package_name }} import agents
from {{ cookiecutter.package_name }}.adapters.celery import queue_of
from {{ cookiecutter.package_name }}.bootstrap import App, running, worker_celery
from {{ cookiecutter.package_name }}.service import ADVANCE
from {{ cookiecutter.package_name }}.settings import Settings

from ..stack import (
    SECRET,
    Postgres,
    Process,
    Redis,
    Service,
    answers,
    directory,
    eventually,
    free_port,
)
from . import provider

PROJECT = Path(__file__).parent.parent.parent
NO_REDIS = "no redis-server here"
COPY = """WITH made AS (
    INSERT INTO sessions
    SELECT made.* FROM sessions s, generate_series(1, %(count)s) AS n,
        jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid(), 'created_at',
            now() - n * interval '1 ms', 'dispatched_at', now(), 'updated_at', now())) AS made
    WHERE s.id = %(id)s RETURNING id
), told AS (
    INSERT INTO events (session_id, seq, version, data)
    SELECT made.id, e.seq, e.version, e.data FROM made, events e WHERE e.session_id = %(id)s
)
SELECT id::text FROM made"""
READY = "SELECT 1 FROM sessions WHERE status = 'ready'"
IN_FLIGHT = "SELECT count(*) FROM sessions WHERE lease_owner > 0"
NOBODY = "00000000-0000-0000-0000-000000000000"
T = TypeVar("T")


class Unsent:
    """A queue for sessions that are enqueued later."""

    async def send(self, task: str, *, lane: str = "default", **arguments: str) -> None:
        """The rows are all that is wanted."""


class Deploy:
    """A database of its own, a broker, and the processes that a figure wants on them."""

    def __init__(self, database_url: str, broker_url: str, **environment: str) -> None:
        own = {"DATABASE_URL": database_url, "BROKER_URL": broker_url}
        own |= {"DEFAULT_AGENT": "bench", "MODEL": "scripted:bench", "SECRET_KEY": SECRET}
        self.environment = own | environment
        given = {name.lower(): value for name, value in self.environment.items()}
        self.settings = Settings.model_validate(given)
        self._database = psycopg.connect(database_url, autocommit=True)
        self._celery: Celery = worker_celery(self.settings)
        self._processes: list[Service] = []
        self.enqueue([NOBODY])  # makes the queue: two processes at once get in each other's way

    def start(self, command: str, **environment: str) -> Service:
        service = Service(command, **(self.environment | environment))
        self._processes.append(service)
        return service.ready()

    def work(self, **environment: str) -> Service:
        """A worker that may be sent sessions."""
        worker = self.start("work", **environment)
        self.until("EXISTS (SELECT 1 FROM processes WHERE kind = 'worker')", "the worker beats")
        return worker

    def close(self) -> None:
        for process in reversed(self._processes):
            if process.lives:
                process.stop()
        self._celery.close()
        self._database.close()

    def rows(self, sql: str, **values: object) -> list[tuple[Any, ...]]:
        cursor = self._database.execute(sql.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def one(self, sql: str, **values: object) -> Any:
        return self.rows(sql, **values)[0][0]

    def use(self, act: Callable[[App], Awaitable[T]]) -> T:
        """What the service itself does, in this process; it enqueues nothing."""

        async def used() -> T:
            async with running(self.settings, "bench", queue=Unsent()) as app:
                return await act(app)

        return asyncio.run(used())

    def ready(self, number: int, text: str) -> list[str]:
        """Sessions to which this was said, and that nobody has enqueued."""

        async def said(app: App) -> str:
            session = await app.service.start()
            await app.service.say(session, text)
            return session

        session_id = self.use(said)
        return [session_id, *self.copies(session_id, number - 1)]

    def copies(self, session_id: str, number: int) -> list[str]:
        """So many sessions more like this one."""
        return [row[0] for row in self.rows(COPY, id=session_id, count=number)]

    def enqueue(self, sessions: Sequence[str]) -> None:
        for session_id in sessions:
            queue = queue_of(self.settings.lane)
            self._celery.send_task(ADVANCE, kwargs={"session_id": session_id}, queue=queue)

    def until(self, condition: str, claim: str) -> None:
        """Waits for the SQL condition."""
        eventually(lambda: self.one(f"SELECT {condition}"), claim)

    def until_in_flight(self, number: int) -> None:
        self.until(f"({IN_FLIGHT}) = {number}", f"{number} sessions are in flight")

    def until_idle(self) -> None:
        self.until(f"NOT EXISTS ({READY})", "all sessions are answered")


class Rig:
    def __init__(self, folder: Path) -> None:
        self.postgres = Postgres(folder)
        self._redis = Redis.found(folder)
        self._places = count(1)

    def brokers(self) -> dict[str, str | None]:
        """By name, each empty; None where there is none on this machine."""
        if self._redis is None:
            return {"Redis": None, "pgmq": "pgmq:"}
        return {
            "Redis": f"{self._redis.url.rpartition('/')[0]}/{next(self._places)}",
            "pgmq": "pgmq:",
        }

    def best_broker(self) -> str:
        brokers = self.brokers()
        return brokers["Redis"] or "pgmq:"

    @contextmanager
    def deploy(self, broker_url: str, **environment: str) -> Iterator[Deploy]:
        deploy = Deploy(self.postgres.create(), broker_url, **environment)
        try:
            yield deploy
        finally:
            deploy.close()

    @contextmanager
    def provider(self) -> Iterator[str]:
        """The URL of a provider of models."""
        port = free_port()
        command = (sys.executable, "-m", provider.__name__, str(port))
        environment = dict(os.environ) | {"PYTHONPATH": str(PROJECT)}
        process = Process(*command, environment=environment)
        eventually(lambda: answers(port), "the provider answers")
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()

    def close(self) -> None:
        if self._redis:
            self._redis.stop()
        self.postgres.stop()


@contextmanager
def rig() -> Iterator[Rig]:
    agents.__path__.append(str(PROJECT / "tools" / "agents"))
    most = getrlimit(RLIMIT_NOFILE)[1]
    setrlimit(RLIMIT_NOFILE, (most, most))  # for the many readers and their server
    with directory() as folder:
        rig = Rig(folder)
        try:
            yield rig
        finally:
            rig.close()

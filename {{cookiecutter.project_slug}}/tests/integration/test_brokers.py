"""Another broker is a URL away (factor IV): the same sessions, through Redis and RabbitMQ."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.adapters.celery import CeleryQueue
from {{ cookiecutter.package_name }}.bootstrap import running
from {{ cookiecutter.package_name }}.entrypoints import leash
from {{ cookiecutter.package_name }}.errors import Unavailable
from {{ cookiecutter.package_name }}.settings import Settings

from ..processes import PATIENCE, Process, eventually
from .conftest import Database
from .test_worker import SLOW
from tools.stack import free_port

RABBITMQ = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the one on the PATH leaves root for another user
)
TOGETHER = 2
QUICK = "scripted:echo?seconds=0.05"
NOTHING: dict[int, Callable[[], None]] = {}
SCHEMES = {"redis": "redis://127.0.0.1:{}/0", "rabbitmq": "amqp://guest:guest@127.0.0.1:{}//"}


def command(name: str, port: int, home: Path) -> tuple[list[str], dict[str, str]]:
    if name == "redis" and (redis := shutil.which("redis-server")):
        return [redis, "--port", str(port), "--save", "", "--dir", str(home)], {}
    if name == "rabbitmq" and (rabbit := shutil.which(RABBITMQ)):
        where = {
            "HOME": str(home),
            "RABBITMQ_MNESIA_BASE": str(home),
            "RABBITMQ_LOG_BASE": str(home),
        }
        own = {"RABBITMQ_NODENAME": f"n{port}@localhost", "RABBITMQ_NODE_PORT": str(port)}
        return [rabbit], where | own | {"RABBITMQ_DIST_PORT": str(free_port())}
    pytest.skip(f"there is no {name} server on this machine")


@pytest.fixture(params=SCHEMES, scope="module")
def broker_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A broker of these tests' own."""
    home = tmp_path_factory.mktemp(request.param)
    port, parent = free_port(), os.getpid()
    start, own = command(request.param, port, home)
    with subprocess.Popen(
        start,
        env={**os.environ, **own},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: leash.tie(parent, signal.SIGTERM),
    ) as process:
        try:
            eventually(lambda: answers(port), f"{request.param} answers")
            yield SCHEMES[request.param].format(port)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.factor("IV")
@pytest.mark.parametrize("form", SCHEMES.values())
def test_a_broker_that_never_answers_is_given_up_on(form: str, database_url: str) -> None:
    async def waited(queue: CeleryQueue) -> float:
        began = time.monotonic()
        sent = (queue.send("nothing") for _ in range(6))
        answers = await asyncio.gather(*sent, return_exceptions=True)
        assert {type(answer) for answer in answers} == {Unavailable}, answers
        return time.monotonic() - began

    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = form.format(silent.getsockname()[1])
        queue = CeleryQueue(url, database_url=database_url)
        assert asyncio.run(waited(queue)) < 5
        queue.close()
        left = [thread for thread in threading.enumerate() if thread.name.startswith("send")]
        eventually(lambda: not any(thread.is_alive() for thread in left), "no sender hangs")


@pytest.mark.factor("IV", "VI", "VIII", "IX")
def test_another_broker_is_a_url_away(
    broker_url: str,
    start: Callable[..., Process],
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two workers share what there is; one is killed, one told to stop, and nothing is lost."""
    monkeypatch.setenv("BROKER_URL", broker_url)
    sessions = say_often(settings.load(), 2 * TOGETHER + 1)
    narrow = {"BROKER_URL": broker_url, "WORKER_CONCURRENCY": str(TOGETHER), "MODEL": SLOW}
    scheduler = start("schedule", BROKER_URL=broker_url).logged("scheduler leads")
    doomed, stopped = (start("work", SHUTDOWN_GRACE="1", **narrow).healthy() for _ in range(2))
    eventually(lambda: held(database) == [TOGETHER, TOGETHER], "each has as many as it may")

    wide = start("work", BROKER_URL=broker_url).healthy()
    eventually(lambda: idle(database) == 1, "what neither took is a third's")
    doomed.signal(signal.SIGKILL)
    within(6.5, lambda: idle(database) == 1 + TOGETHER, "a killed one's are another's")
    assert "dead processes buried" in scheduler.output
    stopped.signal(signal.SIGTERM)
    within(4, lambda: idle(database) == len(sessions), "a stopped one's are handed back")
    assert stopped.ended() == 0, stopped.output
    assert stopped.output.count("task handed back") == TOGETHER
    wide.signal(signal.SIGTERM)
    assert wide.ended() == 0, wide.output


def test_what_workers_were_brought_when_stopped_or_killed_is_lost_with_no_broker(
    broker_url: str,
    start: Callable[..., Process],
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BROKER_URL", broker_url)
    busy = {"BROKER_URL": broker_url, "WORKER_CONCURRENCY": "20", "MODEL": QUICK}
    start("schedule", BROKER_URL=broker_url).logged("scheduler leads")
    stopped, killed = (start("work", **busy).healthy() for _ in range(2))
    ends = {50: lambda: stopped.signal(signal.SIGTERM), 100: lambda: killed.signal(signal.SIGKILL)}
    sessions = say_often(settings.load(), 150, ends)
    start("work", BROKER_URL=broker_url).healthy()
    within(6.5, lambda: idle(database) == len(sessions), "all are answered")
    assert stopped.ended() == 0, stopped.output


def say_often(
    settings: Settings, times: int, meanwhile: Mapping[int, Callable[[], None]] = NOTHING
) -> list[str]:
    """So many sessions, each told something, and what happens once so many are."""

    async def said() -> list[str]:
        async with running(settings, "test") as app:
            sessions = [await app.service.start() for _ in range(times)]
            for number, session in enumerate(sessions):
                await app.service.say(session, "hello")
                meanwhile.get(number, list)()
            return sessions

    return asyncio.run(said())


def idle(database: Database) -> object:
    row = database.execute("SELECT count(*) FROM sessions WHERE status = 'idle'").fetchone()
    return row and row[0]


def held(database: Database) -> list[object]:
    """How many sessions each worker has."""
    sql = "SELECT count(*) FROM sessions WHERE lease_owner IS NOT NULL GROUP BY lease_owner"
    return [row[0] for row in database.execute(sql).fetchall()]


def within(seconds: float, condition: Callable[[], object], claim: str) -> None:
    """By the clock of the test: what takes longer than that has been lost for a while."""
    began = time.monotonic()
    eventually(condition, claim)
    took = time.monotonic() - began
    assert took < seconds, f"{claim}, but after {took:.1f} s"

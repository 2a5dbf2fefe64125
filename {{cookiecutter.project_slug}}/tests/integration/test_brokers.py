"""Another broker is a URL away (factor IV): the same sessions, through Redis and RabbitMQ."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.entrypoints import leash
from {{ cookiecutter.package_name }}.settings import Settings

from ..processes import PATIENCE, Process, eventually, free_port
from .conftest import Database
from .test_worker import SLOW, say, until, until_claimed

RABBITMQ = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the one on the PATH leaves root for another user
)
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


@pytest.fixture(params=SCHEMES)
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A broker of the test's own."""
    port, parent = free_port(), os.getpid()
    start, own = command(request.param, port, tmp_path)
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
def test_another_broker_is_a_url_away(
    broker_url: str,
    start: Callable[..., Process],
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BROKER_URL", broker_url)
    settings = Settings.load()
    scheduler = start("schedule", BROKER_URL=broker_url).logged("scheduler leads")
    doomed = start("work", BROKER_URL=broker_url, MODEL=SLOW).healthy()
    killed = say(settings)
    until_claimed(database, killed)
    doomed.signal(signal.SIGKILL)
    worker = start("work", BROKER_URL=broker_url).healthy()
    until(database, killed, "idle")
    assert "dead processes buried" in scheduler.output
    until(database, say(settings), "idle")
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0, worker.output

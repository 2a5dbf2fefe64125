"""Real processes for `make bench` and `make chaos`: PostgreSQL, Redis, and the service itself."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import psycopg

from {{ cookiecutter.package_name }}.adapters.embedded import Embedded
from {{ cookiecutter.package_name }}.adapters.schema import Schema
from {{ cookiecutter.package_name }}.entrypoints import leash

from .keys import let_in

LAUNCH = Path(__file__).with_name("launch.py")
SECRET = "a secret of the bench, long enough to be taken"
PORT_OF = {"serve": "PORT", "work": "METRICS_PORT", "schedule": "METRICS_PORT"}
PORTS = range(20_000, 32_000)
LOOKED_AT = count(os.getpid() * 997)
PATIENCE = 60.0
LOOK_SECONDS = 0.02
T = TypeVar("T")


def eventually(condition: Callable[[], T | None], claim: str, *, seconds: float = PATIENCE) -> T:
    """What the condition gives once it gives something; an exit that names the claim if never."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            sys.exit(f"not within {seconds:g} s: {claim}")
        time.sleep(LOOK_SECONDS)
    return value


def free_port() -> int:
    """One that the kernel gives to no connection before a server has it: those begin above.

    Each process looks on from a place of its own: two that look at once find two.
    """
    while True:
        with suppress(OSError):
            place = ("127.0.0.1", PORTS[next(LOOKED_AT) % len(PORTS)])
            with closing(socket.create_server(place)):
                return place[1]


class Process:
    """A command on a leash. What it says is kept in a file."""

    def __init__(self, *command: str, environment: dict[str, str]) -> None:
        parent = os.getpid()
        descriptor, name = tempfile.mkstemp()
        self._said = Path(name)
        weakref.finalize(self, self._said.unlink)
        with os.fdopen(descriptor, "w") as said:
            self._process = subprocess.Popen(
                command,
                cwd="/",  # where no .env is
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: leash.tie(parent, signal.SIGQUIT),  # noqa: PLW1509
            )
        self.pid = self._process.pid

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        return self._said.read_text()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ended(self, *, seconds: float = PATIENCE) -> int:
        return self._process.wait(seconds)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def memory(self) -> float:
        """Resident, in MB."""
        told = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.pid)], capture_output=True, check=True
        )
        return int(told.stdout) * 1024 / 1e6


class Postgres:
    """The server that `make up` runs, with its settings, and a migrated database to copy."""

    def __init__(self, directory: Path) -> None:
        self._embedded = Embedded(directory / "postgres")
        self._command = self._embedded.prepare()  # once: its port is part of every URL
        self.start()
        self.migrated = self.create("migrated", template="template1")
        Schema(self.migrated).upgrade()
        let_in(self.migrated)

    def start(self) -> None:
        self._process = Process(*self._command, environment=dict(os.environ))
        eventually(self._embedded.is_ready, "PostgreSQL is ready")

    def create(self, name: str = "", *, template: str = "migrated") -> str:
        """The URL of a new database."""
        name = name or f"t{uuid4().hex}"
        with psycopg.connect(self._embedded.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE {template}'.encode())
        return f"{self._embedded.url().rpartition('/')[0]}/{name}"

    def crash(self) -> None:
        """As a power cut would end it; then it starts again, on the same port."""
        self._process.signal(signal.SIGQUIT)
        self._process.ended()
        self.start()

    def stop(self) -> None:
        self._process.signal(signal.SIGINT)
        self._process.ended()


class Redis:
    """A broker with nothing kept on disk."""

    def __init__(self, binary: str, directory: Path, *, port: int = 0) -> None:
        port = port or free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        where = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory)]
        self._process = Process(binary, *where, "--save", "", environment=dict(os.environ))
        eventually(lambda: answers(port), "Redis answers")

    @classmethod
    def found(cls, directory: Path) -> "Redis | None":
        binary = shutil.which("redis-server")
        return cls(binary, directory) if binary else None

    def stop(self) -> None:
        self._process.signal(signal.SIGTERM)
        self._process.ended()


class Service(Process):
    """A process of the service, with the agents of the bench, in an environment of its own."""

    def __init__(self, command: str, **environment: str) -> None:
        self.port = free_port()
        own = {"PATH": os.environ["PATH"], "SECRET_KEY": SECRET, PORT_OF[command]: str(self.port)}
        launch = (sys.executable, str(LAUNCH), command)
        super().__init__(*launch, environment=own | environment)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def answers(self, path: str) -> bool:
        try:
            return bool(self.get(path))
        except (urllib.error.URLError, ConnectionError):
            return False

    def ready(self, path: str = "/health") -> "Service":
        def is_ready() -> bool:
            if not self.lives:
                sys.exit(f"it ended before it was ready:\n{self.output}")
            return self.answers(path)

        eventually(is_ready, f"pid {self.pid} answers on {path}")
        return self

    def stop(self) -> None:
        self.signal(signal.SIGTERM)
        self.ended()


def answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def directory() -> Iterator[Path]:
    """A place for the data of a run, that root's PostgreSQL can pass through as nobody."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""Real processes of the service, started, watched and ended by the tests.

On Linux they are forked from one that has imported the service already: a start costs a tenth of a
second of work instead of one. How a process starts from nothing is proven where `up` is tested.
"""

import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest

from {{ cookiecutter.package_name }} import agents
from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.entrypoints import leash
from {{ cookiecutter.package_name }}.entrypoints.cli import main

from tools.keys import AUTH
from tools.stack import free_port

PACKAGE = about.__module__.partition(".")[0]
PORT_OF = {"serve": "PORT", "up": "PORT", "work": "METRICS_PORT", "schedule": "METRICS_PORT"}
AGENTS = Path(__file__).parent / "agents"
KEPT = ("PATH", "HOME", "LD_LIBRARY_PATH")
OURS = ["entrypoints.web.app", "entrypoints.worker", "entrypoints.scheduler"]
OURS += ["entrypoints.supervisor", "adapters.schema", "adapters.runtime", "engine"]
THEIRS = ["alembic.command", "celery.app.control", "celery.worker.strategy", "kombu.transport.pgmq"]
SPAWNED = get_context("spawn")
FORKED = get_context("forkserver") if sys.platform == "linux" else SPAWNED
FORKED.set_forkserver_preload([__name__, *THEIRS, *(f"{PACKAGE}.{name}" for name in OURS)])
PATIENCE = 60.0  # a machine under load is slow, not broken
T = TypeVar("T")


def eventually(condition: Callable[[], T | None], claim: str, *, seconds: float = PATIENCE) -> T:
    """What the condition gives once it gives something; a failure that names the claim if never."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {claim}"
        time.sleep(0.05)


class Process:
    """A command of the service's own CLI, in an environment of nothing but what is given.

    Another release is a module that changes this one, in a process that has imported nothing yet.
    """

    def __init__(
        self, *command: str, environment: dict[str, str], directory: Path, release: str = ""
    ) -> None:
        self.port = free_port()
        self.lines: list[str] = []
        self.errors: list[str] = []
        """What of its lines came on stderr."""
        # One client: each new one would read the machine's certificates, and slow all others down.
        self._client = httpx2.Client(headers=AUTH, timeout=PATIENCE, verify=False)
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        own = {PORT_OF[command[0]]: str(self.port)} if command[0] in PORT_OF else {}
        context = SPAWNED if release else FORKED
        (output, written), (errors, mourned) = (context.Pipe(duplex=False) for _ in "12")
        given = (command, {**kept, **own, **environment}, directory, (written, mourned), release)
        self._process = context.Process(target=_become, args=given, daemon=True)
        with pytest.MonkeyPatch.context() as here:  # its parts are measured, each by itself
            here.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
            self._process.start()
        self.pid = int(self._process.pid or 0)
        self.name = f"{' '.join(command)}, pid {self.pid}, release {release or 'this'}"
        for end in (written, mourned):
            end.close()
        streams = ((output, [self.lines]), (errors, [self.lines, self.errors]))
        self._readers = [threading.Thread(target=_read, args=s, daemon=True) for s in streams]
        for reader in self._readers:
            reader.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        return "".join(self.lines)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def get(self, path: str) -> httpx2.Response:
        return self._client.get(self.url + path)

    def post(self, path: str, body: object = None, **headers: str) -> httpx2.Response:
        return self._client.post(self.url + path, json=body, headers=headers)

    def healthy(self, *, path: str = "/health") -> "Process":
        """Itself, once it answers there with 200."""

        def answers() -> bool:
            assert self._process.is_alive(), f"it ended:\n{self.output}"
            try:
                return self.get(path).status_code == httpx2.codes.OK
            except httpx2.TransportError:
                return False

        eventually(answers, f"{path} of pid {self.pid} answers 200")
        return self

    def logged(self, event: str) -> "Process":
        """Itself, once it has logged the event."""
        eventually(
            lambda: any(line["event"] == event for line in self.events),
            f"pid {self.pid} logs {event!r}; it said:\n{self.output}",
        )
        return self

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def ended(self, *, seconds: float = PATIENCE) -> int:
        """The exit code, once it has ended."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"not within {seconds:g} s:\n{self.output}"
        self._listen_to_the_end()
        return self._process.exitcode

    def end(self) -> None:
        self._process.terminate()
        self._process.join(PATIENCE)
        self._process.kill()
        self._process.join()
        self._listen_to_the_end()
        self._client.close()

    def _listen_to_the_end(self) -> None:
        for reader in self._readers:
            reader.join(5)


def _read(stream: Connection, kept: list[list[str]]) -> None:
    with stream, open(stream.fileno(), closefd=False) as lines:
        for line in lines:
            for of_it in kept:
                of_it.append(line)


def _become(
    command: tuple[str, ...],
    environment: dict[str, str],
    directory: Path,
    streams: tuple[Connection, Connection],
    release: str,
) -> None:
    """What the child does, whichever way it was started."""
    leash.tie(os.getppid(), signal.SIGKILL)  # no test leaves an orphan
    gc.freeze()  # what it shares with others is left alone: to look at it is to copy it
    for number, stream in enumerate(streams, 1):
        os.dup2(stream.fileno(), number)
        stream.close()
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [PACKAGE, *command]
    agents.__path__.append(str(AGENTS))
    if release:
        import_module(release)
    main()

"""Real processes of the service, started, watched and ended by the tests."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.entrypoints import leash

PACKAGE = about.__module__.partition(".")[0]
PORT_OF = {"serve": "PORT", "up": "PORT", "work": "METRICS_PORT", "schedule": "METRICS_PORT"}
# What `up` starts is measured where it is tested by itself; here it would only cost time.
AGENTS = Path(__file__).parent / "agents"
RUN = f"""
import os, runpy
from {PACKAGE} import agents
agents.__path__.append({str(AGENTS)!r})
os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
runpy.run_module({PACKAGE!r}, run_name="__main__", alter_sys=True)
"""
KEPT = ("PATH", "HOME", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START", "LD_LIBRARY_PATH")
PATIENCE = 30.0  # a machine under load is slow, not broken
T = TypeVar("T")


def eventually(condition: Callable[[], T | None], claim: str, *, seconds: float = PATIENCE) -> T:
    """What the condition gives once it gives something; a failure that names the claim if never."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {claim}"
        time.sleep(0.05)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


class Process:
    """A command of the service's own CLI, in an environment of nothing but what is given."""

    def __init__(self, *command: str, environment: dict[str, str], directory: Path) -> None:
        self.port = free_port()
        self.lines: list[str] = []
        # One client: each new one would read the machine's certificates, and slow all others down.
        self._client = httpx2.Client(timeout=PATIENCE, verify=False)
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        parent = os.getpid()
        own = {PORT_OF[command[0]]: str(self.port)} if command[0] in PORT_OF else {}
        self._process = subprocess.Popen(
            [sys.executable, "-c", RUN, *command],
            cwd=directory,
            env={**kept, **own, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: leash.tie(parent, signal.SIGKILL),  # no test leaves an orphan
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

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

    def post(self, path: str, body: object = None) -> httpx2.Response:
        return self._client.post(self.url + path, json=body)

    def healthy(self, *, path: str = "/health") -> "Process":
        """Itself, once it answers there with 200."""

        def answers() -> bool:
            assert self._process.poll() is None, f"it ended:\n{self.output}"
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
        self._process.send_signal(number)

    def ended(self, *, seconds: float = PATIENCE) -> int:
        """The exit code, once it has ended."""
        code = self._process.wait(seconds)
        self._reader.join(5)
        return code

    def end(self) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self._process.wait()
        self._reader.join(5)
        self._client.close()
        if self._process.stdout:
            self._process.stdout.close()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.lines.append(line)

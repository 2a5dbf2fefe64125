"""One process under the supervisor: on a leash, its lines shown, asked whether it is ready."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from .leash import leashed, tie
from .terminal import BOLD, painted

COLOURS = {"postgres": 34, "migrate": 35, "web": 32, "worker": 36, "scheduler": 33}
ANSWER_SECONDS = 2.0
LINE_LENGTH = 1 << 20


async def _at_once() -> bool:
    return True


@dataclass
class Child:
    name: str
    command: list[str]
    address: str = ""
    is_ready: Callable[[], Awaitable[bool]] = _at_once
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    orphaned: signal.Signals = signal.SIGKILL
    """What ends it at once, and when the supervisor is gone."""

    async def start(self) -> None:
        parent = os.getpid()
        self._process = await asyncio.create_subprocess_exec(
            *leashed(self.command, self.orphaned),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **self.environment, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # Ctrl-C reaches the supervisor alone
            preexec_fn=lambda: tie(parent, self.orphaned),
        )
        self._shown = asyncio.create_task(self._show(self._process.stdout))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    async def ended(self) -> int:
        """The exit code, once it has ended and its last line is shown."""
        code = await self._process.wait()
        await asyncio.shield(self._shown)
        return code

    async def stop(self, grace_seconds: float) -> None:
        if self.has_ended:
            return
        self._process.send_signal(self.stop_signal)
        try:
            await asyncio.wait_for(self._process.wait(), grace_seconds)
        except TimeoutError:
            say("up", f"{self.name} did not stop within {grace_seconds:g} s and is killed")
            self.kill()
        say("up", f"{self.name:9} stopped with {await self.ended()}")

    def kill(self) -> None:
        if not self.has_ended:
            self._process.send_signal(self.orphaned)

    async def _show(self, stream: asyncio.StreamReader | None) -> None:
        """Every line with the name before it; one without end in pieces."""
        rest = b""
        while stream and (chunk := await stream.read(65536)):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_LENGTH:
                lines, rest = [*lines, rest], b""
            for line in lines:
                say(self.name, line.decode(errors="replace"))
        if rest:
            say(self.name, rest.decode(errors="replace"))


def say(name: str, line: str) -> None:
    label = painted(f"{name:9} |", COLOURS.get(name, BOLD), sys.stdout)
    try:
        print(label, line, flush=True)  # noqa: T201 - this is the program's output
    except OSError:  # the terminal is gone: go on draining what the children say, and end in order
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
        os.kill(os.getpid(), signal.SIGTERM)


def healthy(port: int) -> Callable[[], Awaitable[bool]]:
    """Asks the process that listens there for its /health."""

    async def ask() -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                writer.write(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")
                answer = await asyncio.wait_for(reader.readline(), ANSWER_SECONDS)
        except (OSError, TimeoutError):
            return False
        return b" 200 " in answer

    return ask

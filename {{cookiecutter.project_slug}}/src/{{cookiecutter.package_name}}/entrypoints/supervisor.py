"""`up`: the whole service on one machine, in one terminal, from an empty directory.

Starts PostgreSQL, migrates, starts web, worker and scheduler; shows their lines; starts again what
dies; stops all in reverse order. Nothing outlives it, not even its own kill -9.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..about import about
from ..bootstrap import embedded_database
from ..errors import AppError
from ..settings import Settings
from . import leash

LOCAL = Path(".local")
READY_SECONDS = 30.0
LOOK_SECONDS = 0.05
LONG_LIFE_SECONDS = 10.0
BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
COLOURS = {"postgres": 34, "migrate": 35, "web": 32, "worker": 36, "scheduler": 33}


def up(settings: Settings) -> int:
    """Runs the whole service until SIGTERM or Ctrl-C; the exit code."""
    with _alone(LOCAL):
        return asyncio.run(Supervisor(settings).run())


@dataclass
class Child:
    name: str
    command: list[str]
    is_ready: Callable[[], Awaitable[bool]]
    address: str
    environment: Mapping[str, str] = field(default_factory=dict)
    stop: signal.Signals = signal.SIGTERM
    orphaned: signal.Signals = signal.SIGKILL
    """What ends it when the supervisor is gone."""
    process: asyncio.subprocess.Process | None = None


class Supervisor:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._children: list[Child] = []  # in the order of their start
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._asked_to_stop)
        began = time.monotonic()
        try:
            _check_free(self._settings.port)
            await self._start_database()
            if code := await self._migrate():
                return code
            await self._start(*self._processes())
            if not self._stopping.is_set():
                self._note_state()
                took = time.monotonic() - began
                _say(
                    "up",
                    f"{about().name} is up after {took:.1f} s: http://127.0.0.1:{self._settings.port}",
                )
                _say("up", "Ctrl-C stops it")
            await self._stopping.wait()
            _say("up", "stopping")
        finally:
            self._stopping.set()
            await self._stop_all()
            (LOCAL / "up.json").unlink(missing_ok=True)
        return 0

    async def _start_database(self) -> None:
        database = embedded_database(self._settings)
        if database is None:
            return  # the migration will say whether it answers
        command = await asyncio.to_thread(database.prepare)

        async def ready() -> bool:
            return database.is_ready()

        address = f"{database.directory}, port {command[command.index('-p') + 1]}"
        await self._start(
            Child("postgres", command, ready, address, stop=signal.SIGINT, orphaned=signal.SIGQUIT)
        )

    async def _migrate(self) -> int:
        """The exit code; the child has said what was wrong."""
        if self._stopping.is_set():
            return 0
        process = await self._spawn(Child("migrate", _ours("migrate"), _always, ""))
        return await process.wait()

    def _processes(self) -> list[Child]:
        port = self._settings.port
        web = Child("web", _ours("serve"), _healthy(port), f"http://127.0.0.1:{port}")
        return [web, self._probed("worker", "work"), self._probed("scheduler", "schedule")]

    def _probed(self, name: str, command: str) -> Child:
        """A process that serves nothing but its probes, on a port that is free."""
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            port = listener.getsockname()[1]
        address = f"http://127.0.0.1:{port}/health"
        return Child(name, _ours(command), _healthy(port), address, {"METRICS_PORT": str(port)})

    async def _start(self, *children: Child) -> None:
        """Starts them together; they are ready, or one that can't start has stopped everything."""
        if self._stopping.is_set():
            return
        for child in children:
            self._children.append(child)
            await self._spawn(child)
        await asyncio.gather(*map(self._until_ready, children))
        for child in children:
            self._watch(self._keep(child))

    async def _until_ready(self, child: Child) -> None:
        began = time.monotonic()
        while not await child.is_ready():
            if self._stopping.is_set():
                return
            if child.process is None or child.process.returncode is not None:
                raise AppError(f"{child.name} did not start; its lines above say why")
            if time.monotonic() - began > READY_SECONDS:
                raise AppError(f"{child.name} was not ready within {READY_SECONDS:g} s")
            await asyncio.sleep(LOOK_SECONDS)
        pid = child.process.pid if child.process else 0
        _say("up", f"{child.name:9} ready, pid {pid}, {child.address}")

    async def _keep(self, child: Child) -> None:
        """Starts the child again whenever it dies, slower each time when it does not live long."""
        deaths = 0
        while child.process:
            started = time.monotonic()
            code = await child.process.wait()
            if self._stopping.is_set():
                return
            deaths = 0 if time.monotonic() - started > LONG_LIFE_SECONDS else deaths + 1
            pause = BACKOFF_SECONDS[min(deaths, len(BACKOFF_SECONDS) - 1)]
            _say("up", f"{child.name} ended with {code}; starting it again in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
                return
            await self._spawn(child)
            self._note_state()

    async def _spawn(self, child: Child) -> asyncio.subprocess.Process:
        parent = os.getpid()
        child.process = await asyncio.create_subprocess_exec(
            *_leashed(child, parent),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **child.environment, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # Ctrl-C reaches the supervisor alone
            preexec_fn=lambda: _die_with(parent, child.orphaned),
        )
        self._watch(_show(child.name, child.process.stdout))
        return child.process

    async def _stop_all(self) -> None:
        for child in reversed(self._children):
            if child.process is None or child.process.returncode is not None:
                continue
            child.process.send_signal(child.stop)
            try:
                await asyncio.wait_for(child.process.wait(), self._settings.shutdown_grace + 3)
            except TimeoutError:
                _say("up", f"{child.name} did not stop in time and is killed")
                child.process.kill()
            _say("up", f"{child.name:9} stopped with {await child.process.wait()}")
        await asyncio.gather(*self._tasks)

    def _asked_to_stop(self) -> None:
        """The first time in order; the second time at once."""
        if self._stopping.is_set():
            for child in self._children:
                if child.process and child.process.returncode is None:
                    child.process.kill()
        self._stopping.set()

    def _watch(self, coroutine: Awaitable[None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note_state(self) -> None:
        """Who runs where, for other terminals."""
        state = {
            c.name: {"pid": c.process.pid, "address": c.address}
            for c in self._children
            if c.process
        }
        (LOCAL / "up.json").write_text(
            json.dumps({"up": {"pid": os.getpid()}, **state}, indent=2) + "\n"
        )


def _ours(command: str) -> list[str]:
    return [sys.executable, "-m", __name__.partition(".")[0], command]


def _leashed(child: Child, parent: int) -> list[str]:
    if sys.platform == "linux":
        return child.command
    return [
        sys.executable,
        "-m",
        leash.__name__,
        str(parent),
        str(child.orphaned.value),
        *child.command,
    ]


def _die_with(parent: int, orphaned: signal.Signals) -> None:
    """In the child, before it becomes the command: have the kernel end it when the parent ends."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, orphaned.value)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)


async def _show(name: str, stream: asyncio.StreamReader | None) -> None:
    """Every line of the stream with the name before it, however long the line."""
    rest = b""
    while stream and (chunk := await stream.read(65536)):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            _say(name, line.decode(errors="replace"))
    if rest:
        _say(name, rest.decode(errors="replace"))


def _say(name: str, line: str) -> None:
    label = f"{name:9} |"
    if sys.stdout.isatty():
        label = f"\x1b[{COLOURS.get(name, 1)}m{label}\x1b[0m"
    print(label, line, flush=True)  # noqa: T201 - this is the program's output


def _healthy(port: int) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            with closing(writer):
                return b" 200 " in await asyncio.wait_for(reader.readline(), 2)
        except (OSError, TimeoutError):
            return False

    return asked


async def _always() -> bool:
    return True


def _check_free(port: int) -> None:
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        raise AppError(
            f"PORT={port} can't be used ({error.strerror}): "
            f"stop what uses it, or choose another, as in `PORT={port + 1} make up`"
        ) from None


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One supervisor a directory, in a directory that can be written."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        lock = (directory / "lock").open("a+")
    except OSError as error:
        raise AppError(
            f"{directory.absolute()} can't be written ({error.strerror}): "
            "`up` keeps its database there"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise AppError(
                f"`up` runs in this directory already, as process {lock.read().strip()}"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield

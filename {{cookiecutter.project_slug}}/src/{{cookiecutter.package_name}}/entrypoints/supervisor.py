"""`up`: the whole service on one machine, in one terminal, from an empty directory.

Starts PostgreSQL, migrates, starts web, worker and scheduler; shows their lines; starts again what
dies; stops all, the database last. Nothing outlives it, not even its own kill -9.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..about import about
from ..adapters.embedded import Embedded
from ..bootstrap import embedded_database
from ..errors import AppError
from ..settings import Settings
from .child import Child, healthy, say
from .own_key import let_in

LOCAL = Path(".local")
STATE = LOCAL / "up.json"
DATABASE = "postgres"
READY_SECONDS = 30.0
LOOK_SECONDS = 0.05
LONG_LIFE_SECONDS = 10.0
BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
EXTRA_GRACE_SECONDS = 3


def up(settings: Settings) -> int:
    """Runs the whole service until SIGTERM or Ctrl-C; the exit code."""
    database = embedded_database(settings)
    with _alone(LOCAL):
        return asyncio.run(Supervisor(settings, database).run())


class Supervisor:
    def __init__(self, settings: Settings, database: Embedded | None) -> None:
        self._settings = settings
        self._database = database
        self._stopping = asyncio.Event()
        self._children: list[Child] = []  # in the order of their start
        self._keepers: list[asyncio.Task[None]] = []
        self._exit_code = 0

    async def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._asked_to_stop)
        began = time.monotonic()
        try:
            _check_free(self._settings.port)
            await self._start_database()
            if code := await self._migrate():
                return code
            call, _ = await asyncio.gather(let_in(self._settings), self._start(*self._processes()))
            if not self._stopping.is_set():
                took = time.monotonic() - began
                url = f"http://127.0.0.1:{self._settings.port}"
                say("up", f"{about().name} is up after {took:.1f} s: {url}")
                say("up", f"a session starts by: {call}")
                say("up", "Ctrl-C stops it")
            await self._stopping.wait()
            say("up", "stopping")
        finally:
            self._stopping.set()
            await asyncio.gather(*self._keepers, return_exceptions=True)
            await self._stop([child for child in self._children if child.name != DATABASE])
            await self._stop([child for child in self._children if child.name == DATABASE])
            STATE.unlink(missing_ok=True)
        return self._exit_code

    async def _stop(self, children: list[Child]) -> None:
        seconds = self._settings.shutdown_grace + EXTRA_GRACE_SECONDS
        await asyncio.gather(*(child.stop(seconds) for child in children))

    async def _start_database(self) -> None:
        if (database := self._database) is None:
            return  # the migration will say whether it answers
        command = await asyncio.to_thread(database.prepare, lambda text: say("up", text))

        async def ready() -> bool:
            return database.is_ready()

        where = f"{database.directory}, port {command[command.index('-p') + 1]}"
        stop, orphaned = signal.SIGINT, signal.SIGQUIT
        await self._start(
            Child(DATABASE, command, where, ready, stop_signal=stop, orphaned=orphaned)
        )

    async def _migrate(self) -> int:
        """The exit code; the child itself has said what was wrong."""
        if self._stopping.is_set():
            return 0
        child = Child("migrate", _ours("migrate"))
        await child.start()
        self._children.append(child)
        if (code := await self._ended(child)) is None:
            return 0
        self._children.remove(child)
        return code

    def _processes(self) -> list[Child]:
        port = self._settings.port
        web = Child("web", _ours("serve"), f"http://127.0.0.1:{port}", healthy(port))
        return [web, self._probed("worker", "work"), self._probed("scheduler", "schedule")]

    def _probed(self, name: str, command: str) -> Child:
        """A process that serves nothing but its probes, on a port that is free."""
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            port = listener.getsockname()[1]
        where = f"http://127.0.0.1:{port}/health"
        return Child(name, _ours(command), where, healthy(port), {"METRICS_PORT": str(port)})

    async def _start(self, *children: Child) -> None:
        """Starts them together, and returns when all are ready."""
        if self._stopping.is_set():
            return
        for child in children:
            await child.start()
            self._children.append(child)
        await asyncio.gather(*map(self._until_ready, children))
        self._keepers += [asyncio.create_task(self._keep(child)) for child in children]
        self._note_state()

    async def _until_ready(self, child: Child) -> None:
        began = time.monotonic()
        while not await child.is_ready():
            if self._stopping.is_set():
                return
            if child.has_ended:
                await child.ended()
                raise AppError(f"{child.name} did not start; its lines above say why")
            if time.monotonic() - began > READY_SECONDS:
                raise AppError(f"{child.name} was not ready within {READY_SECONDS:g} s")
            await asyncio.sleep(LOOK_SECONDS)
        say("up", f"{child.name:9} ready, pid {child.pid}, {child.address}")

    async def _keep(self, child: Child) -> None:
        """Starts the child again whenever it dies, slower each time when it does not live long."""
        deaths = 0
        while True:
            started = time.monotonic()
            if (code := await self._ended(child)) is None:
                return
            deaths = 0 if time.monotonic() - started > LONG_LIFE_SECONDS else deaths + 1
            pause = BACKOFF_SECONDS[min(deaths, len(BACKOFF_SECONDS) - 1)]
            say("up", f"{child.name} ended with {code}; starting it again in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
                return
            try:
                await child.start()
            except OSError as error:
                say("up", f"{child.name} can't be started again: {error}")
                self._exit_code = 1
                self._stopping.set()
            self._note_state()

    async def _ended(self, child: Child) -> int | None:
        """The exit code once the child has ended; None when the supervisor is to stop first."""
        ended = asyncio.ensure_future(child.ended())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        if self._stopping.is_set():
            ended.cancel()
            return None
        stopping.cancel()
        return ended.result()

    def _asked_to_stop(self) -> None:
        """The first time in order; the second time at once."""
        if self._stopping.is_set():
            for child in self._children:
                child.kill()
        self._stopping.set()

    def _note_state(self) -> None:
        """Who runs where, for other terminals; written beside its place and moved there whole."""
        state: dict[str, object] = {"up": {"pid": os.getpid()}}
        state |= {c.name: {"pid": c.pid, "address": c.address} for c in self._children}
        new = STATE.with_suffix(".new")
        with contextlib.suppress(OSError):  # it is for information only
            new.write_text(json.dumps(state, indent=2) + "\n")
            new.replace(STATE)


def _ours(command: str) -> list[str]:
    return [sys.executable, "-m", __name__.partition(".")[0], command]


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
            pid = lock.read().strip()
            raise AppError(f"`up` runs in this directory already, as process {pid}") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield

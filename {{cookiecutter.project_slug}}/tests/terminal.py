"""A terminal with a program in it, as a person sits before one."""

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from .processes import AGENTS, KEPT, PACKAGE, PATIENCE, eventually

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MAIN = f"""from {PACKAGE} import agents
from {PACKAGE}.entrypoints.cli import main
agents.__path__.append({str(AGENTS)!r})
main()"""


class Terminal:
    """What stands on it, and what is typed."""

    def __init__(self, *command: str, directory: Path, **environment: str) -> None:
        self._master, slave = pty.openpty()
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=directory,
            env={"TERM": "xterm", **kept, **environment},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so Ctrl-C is a signal
        )
        os.close(slave)
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def running(cls, *command: str, directory: Path, **environment: str) -> "Terminal":
        """The service's own command line."""
        return cls(sys.executable, "-c", MAIN, *command, directory=directory, **environment)

    @property
    def shown(self) -> str:
        return self._shown.decode(errors="replace").replace("\r\n", "\n")

    def shows(self, text: str, *, times: int = 1) -> "Terminal":
        eventually(lambda: self.shown.count(text) >= times, f"{text!r} after {self.shown!r}")
        return self

    def type(self, text: str) -> "Terminal":
        os.write(self._master, text.encode())
        return self

    def ended(self) -> int:
        code = self._process.wait(PATIENCE)
        self._reader.join(5)
        return code

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self._reader.join(5)
        os.close(self._master)

    def _read(self) -> None:
        for data in _all_of(self._master):
            self._shown += data


class Screen:
    """A terminal that something in this process writes to."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        self.stream: TextIO = open(slave, "w", buffering=1)  # noqa: SIM115, PTH123

    def shown(self) -> str:
        """All of it, at the end."""
        self.stream.close()
        shown = b"".join(_all_of(self._master))
        os.close(self._master)
        return shown.decode().replace("\r\n", "\n")


def _all_of(master: int) -> Iterator[bytes]:
    """Up to the end, which Linux calls an error: nobody is left who could write."""
    with suppress(OSError):
        while data := os.read(master, 65536):
            yield data

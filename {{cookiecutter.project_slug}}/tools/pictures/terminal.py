"""A command in a terminal of its own: what it showed, and a drawing of that."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.ansi import AnsiDecoder
from rich.console import Console
from rich.terminal_theme import TerminalTheme

COLUMNS, ROWS = 100, 40
PATIENCE = 240.0
MOVES = re.compile(r"\x1b\[[0-9;?]*[A-HJKSTfhlnsu]|\x1b[=>]|\x1b\][^\x07]*\x07|\x07")
"""What moves a cursor or names a window: nothing of it stays on the paper."""
INK = TerminalTheme(
    (22, 27, 34),
    (201, 209, 217),
    [
        (72, 79, 88),
        (255, 123, 114),
        (86, 211, 100),
        (227, 179, 65),
        (121, 192, 255),
        (210, 168, 255),
        (86, 212, 221),
        (201, 209, 217),
    ],
)
# No font is asked for from elsewhere: whoever looks has one.
PAPER = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
 font-family="ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="{char_height}">
<style>{styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x},{terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}{matrix}</g></svg>
"""


@dataclass
class Terminal:
    """A running command, its keyboard, and all that it has shown so far."""

    process: subprocess.Popen[bytes]
    keyboard: int
    shown: str = ""
    _ended: bool = field(default=False, repr=False)

    def until(self, pattern: str, *, after: int = 0, seconds: float = PATIENCE) -> int:
        """Where the text ends that it has to show first."""
        deadline = time.monotonic() + seconds
        while not (found := re.compile(pattern).search(self.shown, after)):
            if self._ended or time.monotonic() > deadline:
                raise TimeoutError(f"it did not show {pattern!r}, but:\n{self.shown}")
            self._look()
        return found.end()

    def type(self, text: str) -> None:
        os.write(self.keyboard, text.encode())

    def signal(self, number: signal.Signals) -> None:
        """To all that it has started, as Ctrl-C on a keyboard."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def end(self, seconds: float = PATIENCE) -> int:
        """Its exit code, once it has said all."""
        deadline = time.monotonic() + seconds
        while not self._ended and time.monotonic() < deadline:
            self._look()
        return self.process.wait(timeout=seconds)

    def _look(self) -> None:
        if not select.select([self.keyboard], [], [], 0.2)[0]:
            return
        try:
            said = os.read(self.keyboard, 65536)
        except OSError:  # its other end is closed
            said = b""
        self._ended = not said
        self.shown += said.decode(errors="replace")


@contextmanager
def running(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], columns: int = COLUMNS
) -> Iterator[Terminal]:
    """It ends with the block: what is still there then is told to, and then made to."""
    keyboard, screen = pty.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    own = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(ROWS)}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, **own},
        stdin=screen,
        stdout=screen,
        stderr=screen,
        start_new_session=True,
    )
    os.close(screen)
    terminal = Terminal(process, keyboard)
    try:
        yield terminal
    finally:
        terminal.signal(signal.SIGINT)
        try:
            terminal.end(PATIENCE / 4)
        except subprocess.TimeoutExpired:
            terminal.signal(signal.SIGKILL)
        os.close(keyboard)


def drawn(text: str, *, title: str, columns: int = COLUMNS, secrets: Sequence[str] = ()) -> str:
    """An SVG of it, in the colours that it had; a ValueError where a secret stands in it."""
    if any(secret in text for secret in secrets):
        raise ValueError(f"a secret would be seen in the picture of {title}")
    with Path(os.devnull).open("w") as nowhere:
        console = Console(
            record=True, width=columns, file=nowhere, force_terminal=True, color_system="truecolor"
        )
        for line in AnsiDecoder().decode("\n".join(lines(text))):
            line.truncate(columns, overflow="ellipsis")
            console.print(line, no_wrap=True, highlight=False)
        drawing = console.export_svg(title=title, theme=INK, code_format=PAPER, unique_id="t")
    return re.sub(r"[ \t]+\n|\n\s*\n", "\n", drawing)


def lines(text: str) -> list[str]:
    """As they stand at last: a line that was written over is what it was written over with."""
    plain = MOVES.sub("", text).replace("\r\n", "\n")
    return [
        line.rstrip("\r").rpartition("\r")[2].rstrip() for line in plain.strip("\n").split("\n")
    ]


def chosen(text: str, keep: Callable[[str], bool]) -> str:
    return "\n".join(line for line in lines(text) if keep(line))

"""What a terminal takes and a file or a pipe does not: colour, and a line that is written over."""

import os
import time
from typing import Self, TextIO

BOLD, DIM, RED, YELLOW = 1, 2, 31, 33
ERASE = "\r\x1b[K"
EVERY_SECONDS = 0.1
WIDTH = 79


def is_live(stream: TextIO) -> bool:
    """Whether somebody looks at it who can be shown more than lines."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def is_on_github() -> bool:
    """Whether a job of GitHub runs this: libraries paint there what goes into files."""
    return "GITHUB_ACTIONS" in os.environ


def painted(text: str, style: int, stream: TextIO) -> str:
    """The text as it goes to this stream: in colour where that is one and nobody refused it."""
    has_colour = is_live(stream) and not os.environ.get("NO_COLOR")
    return f"\x1b[{style}m{text}\x1b[0m" if has_colour and text else text


class Passing:
    """A line that says what takes long just now, gone before anything else is written; nowhere
    but on a terminal.
    """

    def __init__(self, stream: TextIO, *, also: TextIO | None = None) -> None:
        """`also` is what may be a terminal only where the first is none: they would mix."""
        self._stream = stream
        self._is_on = is_live(stream) and not (also and also.isatty())
        self._shown_at = 0.0
        self._is_there = False

    def show(self, text: str) -> None:
        now = time.monotonic()
        if self._is_on and now - self._shown_at >= EVERY_SECONDS:
            self._shown_at, self._is_there = now, True
            self._write(f"{ERASE}{painted(text[:WIDTH], DIM, self._stream)}")

    def clear(self) -> None:
        if self._is_there:
            self._is_there = False
            self._shown_at = 0.0
            self._write(ERASE)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

"""The file of a backup, written and read as a stream.

Gzipped text: a line of JSON that says what it is; for each table a line with its name and columns,
its rows as COPY writes them, and a line `\\.`; then a line with the number of rows, and a checksum.
"""

import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import GzipFile
from hashlib import sha256
from io import BufferedReader
from typing import Any, BinaryIO, NoReturn, cast

from ..errors import AppError

FORMAT = 1
LEVEL, GZIP = 3, 31
END = b"\\.\n"
PIECE = 1 << 18
DAMAGED = "the backup is damaged"


@dataclass(frozen=True)
class Section:
    """A table with its rows, in pieces of whole lines; they have to be read before the next."""

    table: str
    columns: list[str]
    rows: Iterator[bytes]


class Writer:
    def __init__(self, file: BinaryIO, **head: object) -> None:
        self._file = file
        self._zip = zlib.compressobj(LEVEL, wbits=GZIP)
        self._digest = sha256()
        self._counts: dict[str, int] = {}
        self._write(_line({"format": FORMAT, **head}))

    def table(
        self, name: str, columns: list[str], rows: Iterable[bytes | bytearray | memoryview]
    ) -> None:
        self._write(_line({"table": name, "columns": columns}))
        self._counts[name], piece = 0, bytearray()
        for row in rows:
            piece += row
            if len(piece) > PIECE:
                self._counts[name] += piece.count(b"\n")
                self._write(piece)
                piece.clear()
        self._counts[name] += piece.count(b"\n")
        self._write(piece + END)

    def close(self, **tail: object) -> dict[str, int]:
        """How many rows there are of each table."""
        self._write(_line({"rows": self._counts, **tail}))
        self._file.write(self._zip.compress(_line({"sha256": self._digest.hexdigest()})))
        self._file.write(self._zip.flush())
        return self._counts

    def _write(self, data: bytes | bytearray) -> None:
        self._digest.update(data)
        self._file.write(self._zip.compress(data))


class Reader:
    def __init__(self, file: BinaryIO) -> None:
        unzipped = GzipFile(fileobj=file, mode="rb")
        self._lines = BufferedReader(cast("Any", unzipped), PIECE)
        self._digest = sha256()
        self.tail: dict[str, Any] = {}
        """What is said after all sections, once they are read."""
        with damage_named("this is no backup, or a damaged one"):
            line = self._lines.readline(PIECE) or _cut_short()
            self.head: dict[str, Any] = json.loads(line)
            newer = int(self.head["format"]) > FORMAT
        if newer:
            raise AppError(f"the backup has format {self.head['format']}: take a newer release")
        self._digest.update(line)

    def sections(self) -> Iterator[Section]:
        """Whether all is as it was written shows only when the last has been read."""
        while True:
            with damage_named(DAMAGED):
                line = self._lines.readline() or _cut_short()
                said = json.loads(line)
                if "sha256" in said:
                    self._finish(said["sha256"])
                    return
                self._digest.update(line)
                if "rows" in said:
                    self.tail = said
                    continue
                section = Section(str(said["table"]), list(said["columns"]), self._rows())
            yield section

    def _rows(self) -> Iterator[bytes]:
        piece = bytearray()
        for line in self._lines:
            piece += line
            if line == END:
                self._digest.update(piece)
                yield bytes(piece[: -len(END)])
                return
            if len(piece) > PIECE:
                self._digest.update(piece)
                yield bytes(piece)
                piece.clear()
        _cut_short()

    def _finish(self, digest: str) -> None:
        if digest != self._digest.hexdigest():
            raise AppError(f"{DAMAGED}: its checksum is not that of its rows")
        if self._lines.read(1):
            raise AppError(f"{DAMAGED}: it goes on after its end")


@contextmanager
def damage_named(what: str) -> Iterator[None]:
    """What reading stumbles over, in one line."""
    try:
        yield
    except EOFError:
        raise AppError(f"{what}: it ends too early, as if it was cut short") from None
    except (zlib.error, OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise AppError(f"{what}: {reason}") from None


def _cut_short() -> NoReturn:
    raise EOFError


def _line(said: dict[str, object]) -> bytes:
    return json.dumps(said).encode() + b"\n"

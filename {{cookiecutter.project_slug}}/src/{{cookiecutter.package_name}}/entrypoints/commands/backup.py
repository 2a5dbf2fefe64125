"""`backup` and `restore`: all that the service knows, in one file (factor XII)."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, BinaryIO, cast

import typer

from ...errors import AppError
from ...settings import Settings
from ..terminal import Passing
from . import AsJson, as_json

STREAM = "-"
MEGABYTE = 10**6


def backup(
    file: Annotated[str, typer.Argument(help="Written anew; `-` is the standard output.")],
    *,
    json: AsJson = False,
) -> None:
    """Write all sessions, effects and other rows, as they are at one moment, while all goes on."""
    from ...bootstrap import archive

    settings = Settings.load()
    with Passing(sys.stderr) as passing, _written(file) as out:
        counts = archive(settings).backup(cast("BinaryIO", Counted(out, passing, "written")))
    if json:
        typer.echo(as_json({"file": file, "rows": counts}), err=file == STREAM)
        return
    typer.echo(f"{file} has {_words(counts)}", err=True)


def restore(
    file: Annotated[str, typer.Argument(help="What `backup` wrote; `-` is the standard input.")],
    *,
    json: AsJson = False,
) -> None:
    """Load a backup, of this release or an older one, into an empty database: all or nothing."""
    from ...bootstrap import archive, schema

    settings = Settings.load()
    with Passing(sys.stderr) as passing, _read(file) as source:
        counted = Counted(source, passing, "read", total=_size(file))
        counts = archive(settings).restore(cast("BinaryIO", counted), schema(settings))
    if json:
        typer.echo(as_json({"file": file, "rows": counts}))
        return
    typer.echo(f"restored {_words(counts)}", err=True)


class Counted:
    """A file that says how far it is."""

    def __init__(self, file: BinaryIO, passing: Passing, verb: str, *, total: int = 0) -> None:
        self._file, self._passing, self._verb, self._total = file, passing, verb, total
        self._size = 0

    def write(self, data: bytes) -> int:
        self._count(len(data))
        return self._file.write(data)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._count(len(data))
        return data

    def _count(self, size: int) -> None:
        self._size += size
        share = f", {self._size / self._total:.0%}" if self._total else ""
        self._passing.show(f"{self._size / MEGABYTE:.1f} MB {self._verb}{share}")


def _size(file: str) -> int:
    """Of a real file; 0 where that can't be known."""
    try:
        return 0 if file == STREAM else Path(file).stat().st_size
    except OSError:
        return 0


@contextmanager
def _written(file: str) -> Iterator[BinaryIO]:
    """One that nobody else may read, and that is there only once it is whole."""
    if file == STREAM and sys.stdout.isatty():
        raise typer.BadParameter("a backup is no text for a terminal: name a file, or `| …`")
    place = Path(file).resolve()  # what a link leads to is replaced, not the link, as in /dev
    if file != STREAM and place.exists() and not (place.is_file() or place.is_dir()):
        raise AppError(f"{file} is a device or a pipe: name a file, or `-` for the standard output")
    with ExitStack() as failing:
        try:
            if file == STREAM:
                yield sys.stdout.buffer
                return
            with NamedTemporaryFile(
                dir=place.parent, prefix=f".{place.name}.", delete=False
            ) as new:
                failing.callback(Path(new.name).unlink)
                yield cast("BinaryIO", new)
                new.flush()
                os.fsync(new.fileno())
            Path(new.name).replace(place)
            failing.pop_all()
        except OSError as error:
            raise AppError(f"{file} can't be written: {error.strerror}") from error


@contextmanager
def _read(file: str) -> Iterator[BinaryIO]:
    if file == STREAM:
        yield sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as source:
            yield source
    except OSError as error:
        raise AppError(f"{file} can't be read: {error.strerror}") from error


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))

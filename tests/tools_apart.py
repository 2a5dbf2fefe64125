"""Tools that would weigh on everybody's environment: each in one of its own below build/, made once."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import BIN, ROOT

BUILD = ROOT / "build"
INSTALL_SECONDS = 300


def lacking(why: str) -> None:
    """A laptop goes on without a tool, and says so; a pipeline does not."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def of_pypi(name: str, lock: Path) -> Path:
    """The programs of an environment that is exactly as its lock."""
    home = BUILD / name
    uv, python = BIN / "uv", home / "bin" / "python"
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--clear", home],
        [uv, "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", "--python", python, lock],
    ]
    _once(home, lock.read_text(encoding="utf-8"), commands)
    return home / "bin"


def of_npm(name: str, packages: Sequence[str]) -> Path:
    """A folder with these packages, each of an exact version."""
    home, npm = BUILD / name, shutil.which("npm")
    if not npm:
        lacking("there is no npm here: apt install npm")
    options = ["--silent", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    _once(home, "\n".join(packages), [[str(npm), "install", *options, "--prefix", home, *packages]])
    return home


def _once(home: Path, wanted: str, commands: list[list[str | Path]]) -> None:
    ready = home / "ready"
    with _alone(home):
        if ready.is_file() and ready.read_text(encoding="utf-8") == wanted:
            return
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        for command in commands:
            made = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
            if made.returncode:
                lacking(f"{home.name} can't be installed: {made.stderr.strip()[-300:]}")
        ready.write_text(wanted, encoding="utf-8")


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Tests run beside one another, and would install into the same place."""
    home.parent.mkdir(exist_ok=True)
    with home.with_name(f"{home.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

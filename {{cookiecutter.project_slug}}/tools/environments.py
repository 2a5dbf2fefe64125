"""Tools that are no part of .venv: each group in an environment of its own, exactly as its lock.

`requirements-NAME.txt` is installed in `.NAME`, once, and again when the lock has changed.
"""

import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parent.parent
INSTALL_SECONDS = 180


def executable(environment: str, name: str) -> Path:
    return PROJECT / f".{environment}" / "bin" / name


def missing(environment: str) -> str:
    """Why it is not there, in one line; empty once it is installed as the lock says."""
    home, lock = PROJECT / f".{environment}", PROJECT / f"requirements-{environment}.txt"
    ready = home / "ready"
    if ready.exists() and ready.read_text() == lock.read_text():
        return ""
    try:
        _install(home, lock)
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(home, ignore_errors=True)
        why = getattr(error, "stderr", None) or str(error)
        return str(why).strip().splitlines()[-1].strip()
    ready.write_text(lock.read_text())
    return ""


def _install(home: Path, lock: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    _run(uv, "venv", "--clear", "--python", sys.executable, home)
    _run(uv, "pip", "sync", "--require-hashes", "--python", home / "bin" / "python", lock)


def _run(*command: str | Path) -> None:
    subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS, cwd=PROJECT
    )

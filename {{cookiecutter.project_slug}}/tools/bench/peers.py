"""LangGraph and DBOS, in an environment of their own: they never enter the service's lock."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from {{ cookiecutter.package_name }}.entrypoints import leash

from .rig import PROJECT

LOCK = PROJECT / "requirements-bench.txt"
HOME = PROJECT / ".bench"
INSTALL_SECONDS = 180
NAMES = {"LangGraph": "peer_langgraph", "DBOS": "peer_dbos"}
RECORD = """WITH effect AS (
    INSERT INTO effects (key, session_id, request, result)
    VALUES (%(key)s, split_part(%(key)s, ':', 1)::uuid, %(request)s,
        jsonb_build_object('id', nextval(pg_get_serial_sequence('deployments', 'id'))))
    ON CONFLICT (key) DO UPDATE SET key = excluded.key
    RETURNING (result->>'id')::bigint AS id
)
INSERT INTO deployments AS d (id, version, environment, deployed_by, commit, rollback_of)
SELECT id, %(version)s, %(environment)s, %(deployed_by)s, %(commit)s, %(rollback_of)s FROM effect
ON CONFLICT (id) DO UPDATE SET version = d.version
RETURNING id"""
"""The service's own statement, for a line at a time."""


class Peer:
    """A process that runs sessions when it is told to, and says how long they took."""

    def __init__(self, module: str, url: str) -> None:
        parent = os.getpid()
        command = [str(HOME / "bin" / "python"), "-m", f"{__package__}.{module}", url]
        self._process = subprocess.Popen(
            command,
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            preexec_fn=lambda: leash.tie(parent, signal.SIGKILL),  # noqa: PLW1509
        )

    def run(self, sessions: int, *, steps: int) -> float:
        """The seconds that it took."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{sessions} {steps}\n")
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def peer(name: str, url: str) -> Iterator[Peer]:
    made = Peer(NAMES[name], url)
    try:
        yield made
    finally:
        made.stop()


def missing() -> str:
    """Why there are no peers, in one line; empty once they are installed as the lock says."""
    ready = HOME / "ready"
    if ready.exists() and ready.read_text() == LOCK.read_text():
        return ""
    try:
        _install()
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(HOME, ignore_errors=True)
        why = getattr(error, "stderr", None) or str(error)
        return f"no peers here: {why.strip().splitlines()[-1].strip()}"
    ready.write_text(LOCK.read_text())
    return ""


def _install() -> None:
    uv = Path(sys.executable).with_name("uv")
    _run(uv, "venv", "--clear", "--python", sys.executable, HOME)
    _run(uv, "pip", "sync", "--require-hashes", "--python", HOME / "bin" / "python", LOCK)


def _run(*command: str | Path) -> None:
    subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS, cwd=PROJECT
    )

"""LangGraph and DBOS, in an environment of their own: they never enter the service's lock."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from {{ cookiecutter.package_name }}.entrypoints import leash

from ..environments import PROJECT, executable

ENVIRONMENT = "bench"
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
        command = [str(executable(ENVIRONMENT, "python")), "-m", f"{__package__}.{module}", url]
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

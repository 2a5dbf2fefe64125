"""What both peers share: the ledger line that the tool writes, and the talk with the bench.

Each peer is a process in an environment of its own, which has nothing of this service; for a line
`SESSIONS STEPS` on its input it says how many seconds they took.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

THREADS = 4
RECORD = """WITH effect AS (
    INSERT INTO effects (key, session_id, request, result)
    VALUES (%(key)s, %(session)s, %(request)s,
        jsonb_build_object('id', nextval(pg_get_serial_sequence('deployments', 'id'))))
    ON CONFLICT (key) DO UPDATE SET key = excluded.key
    RETURNING (result->>'id')::bigint AS id
)
INSERT INTO deployments AS d (id, version, environment, commit)
SELECT id, %(version)s, %(environment)s, %(commit)s FROM effect
ON CONFLICT (id) DO UPDATE SET version = d.version RETURNING id"""
Message = dict[str, Any]


class Ledger:
    """Writes a line of the service's ledger, once for its key."""

    def __init__(self, url: str) -> None:
        kwargs = {"autocommit": True}
        self._pool = ConnectionPool(url, min_size=THREADS, max_size=THREADS, kwargs=kwargs)

    def record(self, session: str, key: str, *, version: str) -> int:
        line = {"version": version, "environment": "staging", "commit": key}
        values = {"key": key, "session": session, "request": Jsonb(line)}
        with self._pool.connection() as connection:
            row = connection.execute(RECORD, line | values).fetchone()
        return int(row[0]) if row else 0


def model(left: int, number: int) -> Message:
    """What the scripted model answers, of the size that the service stores."""
    at, usage = time.time(), {"input_tokens": 200, "output_tokens": 20, "cost": "0"}
    said = {"at": at, "kind": "model_answered", "model": "scripted:bench", "usage": usage}
    if not left:
        return said | {"text": "All is done.", "calls": []}
    call = {"id": f"c{number}", "tool": "act", "arguments": {"left": left - 1, "size": 0}}
    return said | {"text": "", "calls": [call]}


def act(ledger: Ledger, session: str, left: int, number: int) -> Message:
    line = ledger.record(session, f"{session}:c{number}", version=f"1.0.{left}")
    result = {"id": line, "left": left, "size": 0, "text": ""}
    return {"at": time.time(), "kind": "tool_returned", "call_id": f"c{number}", "result": result}


def serve(run: Callable[[int], object]) -> None:
    """Runs sessions of so many steps, until the bench has enough."""
    with ThreadPoolExecutor(THREADS) as threads:
        for line in sys.stdin:
            sessions, steps = map(int, line.split())
            began = time.perf_counter()
            for _ in threads.map(run, [steps] * sessions):
                continue
            print(time.perf_counter() - began, flush=True)

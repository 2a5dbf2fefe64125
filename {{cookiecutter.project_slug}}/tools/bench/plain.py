"""The measure of the database itself: the same commits by plain connections, and nothing else."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import psycopg

from .rig import Deploy

CONNECTIONS = 2
OWNER = 1
COMMITS = """SELECT xmin::text, version, data::text FROM events
    WHERE session_id = %(id)s AND seq > %(after)s ORDER BY seq"""
FENCED = """WITH moved AS (
    UPDATE sessions SET seq = seq + %(count)s, updated_at = now()
    WHERE id = %(id)s AND seq = %(seq)s AND lease_owner = %(owner)s RETURNING id
)
INSERT INTO events (session_id, seq, version, data)
SELECT id, %(seq)s + n, v, d
FROM moved, unnest(%(versions)s::int[], %(events)s::jsonb[]) WITH ORDINALITY AS e(v, d, n)
RETURNING seq"""

Commit = tuple[list[int], list[str]]
"""Versions and events."""


def commits(deploy: Deploy, session_id: str, *, after: int) -> list[Commit]:
    """What a worker has committed to a session, statement by statement."""
    rows = deploy.rows(COMMITS, id=session_id, after=after)
    together = (list(group) for _, group in groupby(rows, key=lambda row: row[0]))
    return [([row[1] for row in group], [row[2] for row in group]) for group in together]


def commit(deploy: Deploy, sessions: Sequence[str], told: Sequence[Commit], *, after: int) -> float:
    """The seconds that it takes to commit all this to each of these sessions."""
    deploy.rows("UPDATE sessions SET lease_owner = %(owner)s", owner=OWNER)
    url = deploy.environment["DATABASE_URL"]
    parts = [sessions[n::CONNECTIONS] for n in range(CONNECTIONS)]
    connections = [psycopg.connect(url, autocommit=True) for _ in parts]
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        began = time.perf_counter()
        acts = [
            threads.submit(_commit_all, connection, part, told, after)
            for connection, part in zip(connections, parts, strict=True)
        ]
        for act in acts:
            act.result()
        seconds = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return seconds


def _commit_all(
    connection: psycopg.Connection, sessions: Sequence[str], told: Sequence[Commit], after: int
) -> None:
    for session_id in sessions:
        seq = after
        for versions, events in told:
            row = {"id": session_id, "seq": seq, "owner": OWNER, "count": len(events)}
            wrote = connection.execute(FENCED, row | {"versions": versions, "events": events})
            assert wrote.rowcount == len(events), "a plain commit wrote nothing"
            seq += len(events)

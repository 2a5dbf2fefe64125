"""What workers append, written together: under load one statement carries many sessions' steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from ..agent.events import SCHEMA
from .postgres import Postgres
from .together import Together

COMMIT = f"""WITH wanted AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s::text::jsonb)
    AS w(id uuid, seq int, owner bigint, count int, status text, base int, wake_at timestamptz,
        tokens bigint, cost numeric, release bool)
), moved AS (
    UPDATE sessions s SET seq = w.seq + w.count, status = w.status, base = w.base,
        wake_at = w.wake_at, tokens = w.tokens, cost = w.cost, attempts = 0,
        dispatched_at = CASE WHEN w.release AND w.status = 'ready' THEN now()
            ELSE s.dispatched_at END,
        lease_owner = CASE WHEN w.release THEN NULL ELSE s.lease_owner END,
        updated_at = now(), schema = {SCHEMA}
    FROM wanted w WHERE s.id = w.id AND s.seq = w.seq AND s.lease_owner = w.owner
    RETURNING s.id
), added AS (
    INSERT INTO events (session_id, seq, version, data)
    SELECT id, e.seq, e.version, e.data
    FROM jsonb_to_recordset(%(events)s::text::jsonb) AS e(id uuid, seq int, version int, data jsonb)
        JOIN moved USING (id)
)
SELECT id::text FROM moved"""


@dataclass(frozen=True)
class Commit:
    """One session's step: a row as COMMIT wants it, and its events as (seq, version, JSON)."""

    row: dict[str, Any]
    events: list[tuple[int, int, str]]


def commits(database: Postgres) -> Together[Commit, bool]:
    """Whether each was written; False where the lease or the place is lost."""

    async def write(batch: Sequence[Commit]) -> list[bool]:
        events = ",".join(
            f'{{"id":"{c.row["id"]}","seq":{seq},"version":{version},"data":{data}}}'
            for c in batch
            for seq, version, data in c.events
        )
        rows = to_json([commit.row for commit in batch]).decode()
        written = await database.rows(COMMIT, rows=rows, events=f"[{events}]")
        moved = {row["id"] for row in written}
        return [commit.row["id"] in moved for commit in batch]

    return Together(write)

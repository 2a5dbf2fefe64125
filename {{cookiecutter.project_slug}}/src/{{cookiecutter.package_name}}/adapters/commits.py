"""What is appended to sessions: under load one statement carries the steps of many.

Each is fenced by the place that it continues from; and by its lease, where a worker appends it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from ..agent.events import ENCODE, SCHEMA, AnyEvent, UserSpoke, version
from ..agent.session import Session, Thread
from .postgres import Postgres

TITLE_LENGTH = 80
TODAY = "(now() AT TIME ZONE 'UTC')::date"
ITS_OWN = f"s.day = {TODAY} AND coalesce(w.payer = s.key_id, true)"
SPENT_BEFORE = """INSERT INTO spendings AS before (key_id, day, tokens, cost)
    SELECT s.key_id, s.day, sum(s.day_tokens), sum(s.day_cost)"""
AND_ADDED = f"""AND s.day = {TODAY} GROUP BY s.key_id, s.day
    ON CONFLICT (key_id, day) DO UPDATE
    SET tokens = before.tokens + excluded.tokens, cost = before.cost + excluded.cost"""
"""What a key has spent today in sessions that another pays for now, or that are gone."""

COMMIT = f"""WITH wanted AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s::text::jsonb)
    AS w(id uuid, seq int, owner bigint, count int, status text, base int, wake_at timestamptz,
        tokens bigint, cost numeric, title text, release bool, payer bigint)
), moved AS (
    UPDATE sessions s SET seq = w.seq + w.count, status = w.status, base = w.base,
        wake_at = w.wake_at, tokens = w.tokens, cost = w.cost, attempts = 0, dispatches = 0,
        key_id = coalesce(w.payer, s.key_id), day = {TODAY},
        day_tokens = CASE WHEN {ITS_OWN} THEN s.day_tokens ELSE 0 END + w.tokens - s.tokens,
        day_cost = CASE WHEN {ITS_OWN} THEN s.day_cost ELSE 0 END + w.cost - s.cost,
        title = CASE WHEN s.title = '' THEN w.title ELSE s.title END,
        dispatched_at = CASE WHEN w.owner IS NULL OR w.release AND w.status = 'ready' THEN now()
            ELSE s.dispatched_at END,
        lease_owner = CASE WHEN w.release THEN NULL ELSE s.lease_owner END,
        updated_at = now(), schema = greatest(s.schema, {SCHEMA})
    FROM wanted w
    WHERE s.id = w.id AND s.seq = w.seq AND (w.owner IS NULL OR s.lease_owner = w.owner)
    RETURNING s.id
), handed_over AS (
    {SPENT_BEFORE} FROM sessions s JOIN wanted w USING (id) JOIN moved USING (id)
    WHERE w.payer <> s.key_id {AND_ADDED}
), added AS (
    INSERT INTO events (session_id, seq, version, key, data)
    SELECT id, e.seq, e.version, e.key, e.data
    FROM jsonb_to_recordset(%(events)s::text::jsonb)
        AS e(id uuid, seq int, version int, key text, data jsonb) JOIN moved USING (id)
)"""
REOPENED = """, reopened AS (
    UPDATE recipients r SET is_open = true FROM moved WHERE r.session_id = moved.id
)"""
"""A session that rests goes on by what is appended from outside, and by nothing else."""
MOVED = " SELECT id::text FROM moved"


@dataclass(frozen=True)
class Commit:
    """One session's step: a row as COMMIT wants it, and the JSON of its events."""

    row: dict[str, Any]
    events: str

    @classmethod
    def of(
        cls, after: Thread, events: Sequence[AnyEvent], *, key: str | None = None, **fence: object
    ) -> "Commit":
        session, seq = after.session, after.seq - len(events)
        said = next((event.text for event in events if isinstance(event, UserSpoke)), "")
        row = {
            "id": after.id,
            "seq": seq,
            "count": len(events),
            "status": session.status,
            "base": after.base,
            "wake_at": _expiry(session),
            "tokens": session.usage.tokens,
            "cost": session.usage.cost,
            "title": " ".join(said.split())[:TITLE_LENGTH],
        }
        keyed = f'"key":{ENCODE(key)},' if key else ""
        written = (
            f'{{"id":"{after.id}","seq":{place},"version":{version(event.kind)},'
            f'{keyed * isinstance(event, UserSpoke)}"data":{event.model_dump_json()}}}'
            for place, event in enumerate(events, seq + 1)
        )
        return cls(row | fence, ",".join(written))


async def write(database: Postgres, batch: Sequence[Commit], *, also: str = "") -> list[bool]:
    """Whether each was written; False where the place or the lease is lost."""
    rows = to_json([commit.row for commit in batch]).decode()
    events = ",".join(commit.events for commit in batch)
    written = await database.rows(COMMIT + also + MOVED, rows=rows, events=f"[{events}]")
    moved = {row["id"] for row in written}
    return [commit.row["id"] in moved for commit in batch]


def _expiry(session: Session) -> datetime | None:
    """When the first of the decisions that it waits for is overdue."""
    if session.status != "waiting":
        return None
    return min((open_.expires_at for open_ in session.pending if open_.expires_at), default=None)

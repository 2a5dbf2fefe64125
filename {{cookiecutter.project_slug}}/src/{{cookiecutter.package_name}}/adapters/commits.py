"""What workers append, written together: under load one statement carries many sessions' steps."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from ..agent.events import SCHEMA
from .postgres import Postgres

BATCH = 64
WRITERS = 2
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


@dataclass
class Commit:
    """One session's step: a row as COMMIT wants it, and its events as (seq, version, JSON)."""

    row: dict[str, Any]
    events: list[tuple[int, int, str]]
    done: asyncio.Future[bool] = field(default_factory=asyncio.Future)


class Commits:
    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._waiting: list[Commit] = []
        self._writers: set[asyncio.Task[None]] = set()

    async def add(self, commit: Commit) -> bool:
        """Whether it was written; False where the lease or the place is lost."""
        self._waiting.append(commit)
        if len(self._writers) < WRITERS:
            self._writers.add(writer := asyncio.create_task(self._write()))
            writer.add_done_callback(self._writers.discard)
        return await commit.done

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                await self._write_together(batch)
            except Exception:
                for commit in batch:  # one bad row is no other's fault
                    await self._write_alone(commit)

    async def _write_alone(self, commit: Commit) -> None:
        try:
            await self._write_together([commit])
        except Exception as error:
            if not commit.done.done():
                commit.done.set_exception(error)

    async def _write_together(self, batch: list[Commit]) -> None:
        rows = json.dumps([commit.row for commit in batch], default=str)
        events = ",".join(
            f'{{"id":"{c.row["id"]}","seq":{seq},"version":{version},"data":{data}}}'
            for c in batch
            for seq, version, data in c.events
        )
        written = await self._database.rows(COMMIT, rows=rows, events=f"[{events}]")
        moved = {row["id"] for row in written}
        for commit in batch:
            if not commit.done.done():  # its task may have been cancelled meanwhile
                commit.done.set_result(commit.row["id"] in moved)

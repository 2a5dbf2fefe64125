"""Sessions in PostgreSQL: rows that any process may take up, and the events that made them.

Every change is one statement, fenced by the place it continues from, so that of two writers one
wins and the other looks again. What a worker appends is fenced by its lease as well.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ..agent.events import SCHEMA, AnyEvent, read
from ..agent.history import Stored
from ..agent.session import Status, Thread
from ..ports import Summary, Whose
from .commits import AND_ADDED, REOPENED, SPENT_BEFORE, TODAY, Commit, write
from .postgres import Postgres
from .together import Together

PORTION = 1_000
MOST_OWNERS = 10_000
TRIES_IN_LANE = 1
"""So often a session is queued again in a lane that has no worker. After a quarter of a minute it
is the default lane's, for good: nobody comes back for what a removed lane has left."""
ALIVE = "(array(SELECT id FROM processes))"
FREE = f"coalesce(lease_owner, 0) <> ALL {ALIVE}"
"""A lease is worth as much as its process; the row of a dead one is deleted. No join, which a
statement that had to wait for the row would not do again: so two would claim it."""

_THREAD = """SELECT s.id::text, s.seq, s.base, s.lane, s.status, s.lease_owner,
    array(SELECT e.version FROM events e WHERE e.session_id = s.id AND e.seq > s.base
        ORDER BY e.seq) AS versions,
    array(SELECT e.data::text FROM events e WHERE e.session_id = s.id AND e.seq > s.base
        ORDER BY e.seq) AS events
FROM """
STORED = "SELECT seq, version, key, data::text FROM events"
SUMMARY = """SELECT id::text, owner, agent, status, title, prompt, lane, tokens, cost, created_at,
    updated_at, metadata FROM sessions """
CLAIM = f"""WITH s AS (
    UPDATE sessions s SET lease_owner = w.owner, attempts = attempts + 1, dispatches = 0
    FROM unnest(%(ids)s::uuid[], %(owners)s::bigint[]) AS w(id, owner)
    WHERE s.id = w.id AND status = 'ready' AND schema <= {SCHEMA} AND {FREE}
        AND (wake_at IS NULL OR wake_at <= now()) AND w.owner = ANY {ALIVE}
    RETURNING s.*
) {_THREAD} s"""
"""By those alone whose row is there: one that was buried alive, and has not beaten since, would get
what it holds a second time."""
STALE = f"""UPDATE sessions
SET dispatched_at = now(), dispatches = dispatches + (lease_owner IS NULL)::int,
    lease_owner = NULL, lane = CASE WHEN dispatches < {TRIES_IN_LANE} OR lane = ANY (array(
        SELECT lane FROM processes WHERE kind = 'worker')) THEN lane ELSE 'default' END
WHERE id IN (
    SELECT id FROM sessions WHERE status = 'ready' AND (wake_at IS NULL OR wake_at <= now())
        AND {FREE} AND (lease_owner IS NOT NULL OR wake_at > dispatched_at
            OR dispatched_at < now() - interval '5 s' * 2 ^ least(dispatches, 6))
    ORDER BY dispatched_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) RETURNING id::text, lane"""
OLD = """created_at < now() - %(age)s AND updated_at < now() - %(age)s
    AND status <> 'ready' AND (status <> 'waiting' OR wake_at <= now())"""
"""Said of the row that is deleted too: only that is looked at again where somebody else had it."""
ORPHANS = """DELETE FROM effects f
WHERE NOT EXISTS (SELECT FROM sessions s WHERE s.id = f.session_id)"""
"""What a tool did while its session was deleted. Reads all of both, which a night may cost."""


class PostgresSessions:
    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._commits = Together(partial(write, database))
        self._claims = Together(self._claim)
        self._owners: dict[str, str] = {}

    async def start(  # noqa: PLR0913
        self,
        thread: Thread,
        events: Sequence[AnyEvent],
        *,
        metadata: dict[str, Any],
        whose: Whose,
        parent: str | None = None,
        key: str | None = None,
    ) -> bool:
        session, new = thread.session, Commit.of(thread, events, key=key)
        started = await self._database.rows(
            f"""WITH s AS (
                INSERT INTO sessions (id, owner, key_id, agent, prompt, title, metadata, parent,
                    lane, schema, status, seq, base, wake_at, tokens, cost)
                VALUES (%(id)s, %(owner)s, %(key_id)s, %(agent)s, %(prompt)s, %(title)s,
                    %(metadata)s, %(parent)s, %(lane)s, {SCHEMA}, %(status)s, %(count)s, %(base)s,
                    %(wake_at)s, %(tokens)s, %(cost)s)
                ON CONFLICT DO NOTHING RETURNING id
            )
            INSERT INTO events (session_id, seq, version, key, data)
            SELECT s.id, seq, version, key, data
            FROM s, jsonb_to_recordset(%(events)s::text::jsonb)
                AS e(seq int, version int, key text, data jsonb) RETURNING seq""",
            owner=whose.owner,
            key_id=whose.key_id,
            agent=session.agent,
            prompt=session.prompt,
            metadata=Jsonb(metadata),
            parent=parent,
            lane=thread.lane,
            events=f"[{new.events}]",
            **new.row,
        )
        return bool(started)

    async def load(self, session_id: str) -> Thread | None:
        return await self._thread(f"{_THREAD} sessions s WHERE id = %(id)s", id=session_id)

    async def held(self, session_id: str, *, owner: int) -> Thread | None:
        sql = f"{_THREAD} sessions s WHERE id = %(id)s AND lease_owner = %(owner)s"
        return await self._thread(sql, id=session_id, owner=owner)

    async def claim(self, session_id: str, *, owner: int) -> Thread | None:
        row = await self._claims.add((session_id, owner))
        if row is None:
            return None
        thread = _thread(row)
        if thread.seq == row["seq"]:
            return thread
        return await self.held(session_id, owner=owner)  # its events were read a moment too early

    async def _claim(self, wanted: Sequence[tuple[str, int]]) -> list[DictRow | None]:
        ids, owners = zip(*wanted, strict=True)
        rows = await self._database.rows(CLAIM, ids=list(ids), owners=list(owners))
        won = {(row["id"], row["lease_owner"]): row for row in rows}
        return [won.pop(who, None) for who in wanted]

    async def append(
        self,
        thread: Thread,
        *events: AnyEvent,
        key: str | None = None,
        payer: int | None = None,
    ) -> bool:
        after, fence = thread.after(*events), {"owner": None, "release": False, "payer": payer}
        new = Commit.of(after, events, key=key, **fence)
        try:
            # Alone, so that no two can deadlock.
            return (await write(self._database, [new], also=REOPENED))[0]
        except UniqueViolation:  # of the key: said already
            return False

    async def commit(
        self,
        after: Thread,
        events: Sequence[AnyEvent],
        *,
        owner: int,
        release: bool,
        wake_at: datetime | None = None,
    ) -> bool:
        new = Commit.of(after, events, owner=owner, release=release)
        if wake_at:
            new.row["wake_at"] = wake_at
        return await self._commits.add(new)

    async def release(
        self, session_id: str, *, owner: int, wake_in: timedelta, blameless: bool
    ) -> None:
        await self._database.rows(
            """UPDATE sessions SET lease_owner = NULL, wake_at = now() + %(wake_in)s,
                dispatched_at = 'epoch', attempts = greatest(attempts - %(undone)s, 0)
            WHERE id = %(id)s AND lease_owner = %(owner)s""",
            id=session_id,
            owner=owner,
            wake_in=wake_in,
            undone=int(blameless),
        )

    async def claim_stale(self, *, limit: int) -> list[tuple[str, str]]:
        rows = await self._database.rows(STALE, limit=limit)
        return [(row["id"], row["lane"]) for row in rows]

    async def put_back(self, ids: Sequence[str]) -> None:
        await self._database.rows(
            """UPDATE sessions SET dispatched_at = 'epoch', dispatches = greatest(dispatches - 1, 0)
            WHERE id = ANY(%(ids)s) AND status = 'ready'""",
            ids=list(ids),
        )

    async def overdue(self, *, limit: int) -> list[str]:
        sql = f"""SELECT id::text FROM sessions
            WHERE status = 'waiting' AND wake_at <= now() AND schema <= {SCHEMA}
            ORDER BY wake_at LIMIT %(limit)s"""
        return [row["id"] for row in await self._database.rows(sql, limit=limit)]

    async def poisonous(self, *, attempts: int, limit: int) -> list[str]:
        sql = f"""SELECT id::text FROM sessions WHERE status = 'ready' AND schema <= {SCHEMA}
            AND attempts >= %(attempts)s AND {FREE} LIMIT %(limit)s"""
        rows = await self._database.rows(sql, attempts=attempts, limit=limit)
        return [row["id"] for row in rows]

    async def _thread(self, sql: str, **values: object) -> Thread | None:
        rows = await self._database.rows(sql, **values)
        return _thread(rows[0]) if rows else None

    async def find(self, session_id: str, key: str) -> Stored | None:
        sql = f"{STORED} WHERE session_id = %(id)s AND key = %(key)s"
        rows = await self._database.rows(sql, id=session_id, key=key)
        return stored(rows[0]) if rows else None

    async def belongs(self, session_id: str, *, owner: str) -> bool:
        if self._owners.get(session_id) == owner:
            return True
        sql = "SELECT 1 FROM sessions WHERE id = %(id)s AND owner = %(owner)s"
        if not await self._database.rows(sql, id=session_id, owner=owner):
            return False
        if len(self._owners) >= MOST_OWNERS:
            self._owners.clear()
        self._owners[session_id] = owner
        return True

    async def events(self, session_id: str, *, after: int, limit: int) -> list[Stored]:
        sql = f"""{STORED} WHERE session_id = %(id)s AND seq > %(after)s
            ORDER BY seq LIMIT %(limit)s"""
        rows = await self._database.rows(sql, id=session_id, after=after, limit=limit)
        return [stored(row) for row in rows]

    async def summary(self, session_id: str) -> Summary | None:
        rows = await self._database.rows(f"{SUMMARY} WHERE id = %(id)s", id=session_id)
        return Summary(**rows[0]) if rows else None

    async def list(
        self,
        *,
        owner: str | None,
        status: Status | None,
        agent: str | None,
        before: tuple[datetime, str] | None,
        limit: int,
    ) -> list[Summary]:
        wanted = {
            "owner = %(owner)s": owner,
            "status = %(status)s": status,
            "agent = %(agent)s": agent,
            "(created_at, id) < (%(at)s, %(id)s)": before,
        }
        where = " AND ".join(sql for sql, value in wanted.items() if value) or "true"
        at, session_id = before or (None, None)
        rows = await self._database.rows(
            f"{SUMMARY} WHERE {where} ORDER BY created_at DESC, id DESC LIMIT %(limit)s",
            owner=owner,
            status=status,
            agent=agent,
            at=at,
            id=session_id,
            limit=limit,
        )
        return [Summary(**row) for row in rows]

    async def delete(self, session_id: str) -> bool:
        return bool(await self._delete("id = %(id)s", id=session_id))

    async def forget(self, *, older_than: timedelta) -> int:
        """In portions: each is a short transaction."""
        old = f"{OLD} AND id IN (SELECT id FROM sessions WHERE {OLD} LIMIT %(portion)s)"
        forgotten = 0
        while gone := await self._delete(old, age=older_than, portion=PORTION):
            forgotten += gone
        await self._database.rows(ORPHANS)
        await self._database.rows(f"DELETE FROM spendings WHERE day < {TODAY}")
        return forgotten

    async def _delete(self, which: str, **values: object) -> int:
        """How many sessions, with all that belongs to them."""
        rows = await self._database.rows(
            f"""WITH gone AS (DELETE FROM sessions WHERE {which} RETURNING *),
                spent AS ({SPENT_BEFORE} FROM gone s WHERE s.key_id IS NOT NULL {AND_ADDED}),
                events AS (DELETE FROM events e USING gone WHERE e.session_id = gone.id),
                effects AS (DELETE FROM effects f USING gone WHERE f.session_id = gone.id),
                letters AS (DELETE FROM dead_letters d USING gone WHERE d.session_id = gone.id),
                told AS (DELETE FROM recipients r USING gone WHERE r.session_id = gone.id)
            SELECT count(*) AS count FROM gone""",
            **values,
        )
        return int(rows[0]["count"])


def _thread(row: DictRow) -> Thread:
    events = (read(*stored) for stored in zip(row["events"], row["versions"], strict=True))
    return Thread.of(row["id"], events, base=row["base"], lane=row["lane"])


def stored(row: DictRow) -> Stored:
    return Stored(row["seq"], read(row["data"], row["version"]), row["key"])

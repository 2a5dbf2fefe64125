"""What people look at who watch over sessions: one owner's, and what the service does for all."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any

from ..agent.history import Stored
from ..ledger import Deployment
from ..ports import Day, Summary
from .ledger import recent
from .postgres import Postgres
from .reports import WORK
from .sessions import STORED, SUMMARY, stored

MOST_COUNTED = 100
SAMPLE, SAMPLE_EVENTS = 40, 200
FIRST = ("-infinity", "00000000-0000-0000-0000-000000000000")
DECISION = "owner = %(owner)s AND status = 'waiting'"
BUDGET = """owner = %(owner)s AND status = 'paused' AND (SELECT data->>'spent' FROM events
    WHERE session_id = sessions.id AND coalesce(data->>'kind' = 'session_paused', false)
    ORDER BY seq DESC LIMIT 1) = 'true'"""
"""What a person is asked for, each by the index of its status; what is paused by hand waits for
nobody. Read from the end to the pause alone: what is in `coalesce` the planner takes for likely.
"""
WAITING = f"""SELECT count(*) AS count FROM (
    SELECT FROM sessions WHERE {DECISION} UNION ALL SELECT FROM sessions WHERE {BUDGET}
    LIMIT {MOST_COUNTED}) AS waiting"""
NEXT = """AND (created_at, id) > (%(at)s::timestamptz, %(id)s::uuid)
    ORDER BY created_at, sessions.id LIMIT %(limit)s"""
ASKED = f"""SELECT * FROM (({SUMMARY} WHERE {DECISION} {NEXT}) UNION ALL
    ({SUMMARY} WHERE {BUDGET} {NEXT})) AS asked
    ORDER BY created_at, id::uuid LIMIT %(limit)s"""
SAID = f"""{STORED} WHERE session_id = %(id)s AND seq < %(before)s
    AND data->>'kind' = ANY(%(kinds)s) AND data->>'permission' IS DISTINCT FROM 'auto'
    ORDER BY seq DESC LIMIT %(limit)s"""
"""From the end, and no further than it has to: by the primary key."""
LINKS = """SELECT parent::text, array(SELECT f.id::text FROM sessions f WHERE f.parent = s.id
    ORDER BY f.created_at DESC LIMIT 10) AS forks FROM sessions s WHERE id = %(id)s"""
DAYS = """SELECT (created_at AT TIME ZONE 'UTC')::date AS day, status, count(*) AS sessions,
    sum(tokens)::bigint AS tokens, sum(cost) AS cost
FROM sessions
WHERE owner = %(owner)s AND created_at >= %(since)s::timestamp AT TIME ZONE 'UTC'
GROUP BY 1, 2"""
CALLS = f"""WITH placed AS (
    SELECT id, (created_at AT TIME ZONE 'UTC')::date AS day, row_number() OVER (
        PARTITION BY (created_at AT TIME ZONE 'UTC')::date ORDER BY created_at DESC) AS place
    FROM sessions
    WHERE owner = %(owner)s AND created_at >= %(since)s::timestamp AT TIME ZONE 'UTC'
)
SELECT day, percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY seconds) AS seconds
FROM placed CROSS JOIN LATERAL (
    SELECT (data->>'seconds')::float AS seconds FROM events
    WHERE session_id = placed.id AND seq <= {SAMPLE_EVENTS}
        AND data->>'kind' = 'model_answered'
) AS calls
WHERE place <= {SAMPLE} GROUP BY day"""
"""Of the newest sessions of each day: enough to see that models became slower."""


class PostgresFigures:
    def __init__(self, database: Postgres) -> None:
        self._database = database

    async def waiting(self, owner: str) -> int:
        rows = await self._database.rows(WAITING, owner=owner)
        return int(rows[0]["count"])

    async def asked(
        self, owner: str, *, after: tuple[datetime, str] | None, limit: int
    ) -> list[Summary]:
        at, session_id = after or FIRST
        rows = await self._database.rows(ASKED, owner=owner, at=at, id=session_id, limit=limit)
        return [Summary(**row) for row in rows]

    async def said(
        self, session_id: str, *, kinds: Collection[str], before: int, limit: int
    ) -> list[Stored]:
        rows = await self._database.rows(
            SAID, id=session_id, kinds=list(kinds), before=before, limit=limit
        )
        return [stored(row) for row in reversed(rows)]

    async def links(self, session_id: str) -> tuple[str | None, Sequence[str]]:
        rows = await self._database.rows(LINKS, id=session_id)
        return (rows[0]["parent"], rows[0]["forks"]) if rows else (None, ())

    async def days(self, owner: str, *, since: date) -> list[Day]:
        found: dict[date, Day] = {}
        for row in await self._database.rows(DAYS, owner=owner, since=since):
            day = found.setdefault(row["day"], Day(row["day"]))
            day.outcomes[row["status"]] = row["sessions"]
            day.tokens += row["tokens"]
            day.cost += row["cost"]
        for row in await self._database.rows(CALLS, owner=owner, since=since):
            day = found.setdefault(row["day"], Day(row["day"]))
            day.usual_seconds, day.slow_seconds = row["seconds"]
        return [found[day] for day in sorted(found)]

    async def work(self, *, stalled: float) -> list[dict[str, Any]]:
        return await self._database.rows(WORK, stalled=stalled)

    async def ledger(self, *, limit: int) -> list[Deployment]:
        return await recent(self._database, limit=limit)

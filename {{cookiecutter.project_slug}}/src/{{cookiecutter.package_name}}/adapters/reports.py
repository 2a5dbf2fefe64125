"""What operators ask about all sessions at once, and the example lines that `seed` plants."""

import logging
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from .postgres import SCHEDULER_LOCK, Postgres
from .sessions import FREE

log = logging.getLogger(__name__)

REPORT = "sessions.report"
DAY = timedelta(days=1)
ACTIVITY = """WITH happened AS (
    SELECT s.id, s.agent, s.status, e.data->>'kind' AS kind, e.data->'usage' AS usage
    FROM sessions s
        JOIN events first ON first.session_id = s.id AND first.seq = 1
        JOIN events e ON e.session_id = s.id
            AND e.seq > coalesce(split_part(first.data->>'forked_from', '@', 2)::int, 0)
    WHERE s.updated_at >= %(since)s AND s.created_at < %(until)s
        AND (e.data->>'at')::timestamptz >= %(since)s AND (e.data->>'at')::timestamptz < %(until)s
)
SELECT agent, status, kind, count(DISTINCT id) AS sessions, count(*) AS events,
    sum((usage->>'input_tokens')::bigint + (usage->>'output_tokens')::bigint) AS tokens,
    sum((usage->>'cost')::numeric) AS cost
FROM happened GROUP BY GROUPING SETS ((agent, status), (kind))
ORDER BY agent, status, kind"""
"""Reads every session's row, which is what a report a day may cost: an index on updated_at would
cost each step its HOT update. Events by the primary key; what a fork has copied is not its own."""
STANDING = f"""SELECT
    count(*) FILTER (WHERE status = 'ready' AND {FREE}
        AND updated_at < now() - make_interval(secs => %(seconds)s)) AS stuck,
    count(*) FILTER (WHERE status = 'waiting'
        AND wake_at < now() - make_interval(secs => %(seconds)s)) AS overdue,
    count(*) FILTER (WHERE status = 'paused') AS paused,
    count(*) FILTER (WHERE status = 'waiting') AS waiting
FROM sessions WHERE status IN ('ready', 'waiting', 'paused')"""
"""By sessions_by_status."""
LEADS = f"""SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND (classid, objid, objsubid) = (0, {SCHEDULER_LOCK}, 1)
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
SEED = """INSERT INTO deployments
    (version, environment, status, started_at, completed_at, deployed_by)
SELECT version, environment, status, now() - hours, now() - hours + interval '2 min', 'an example'
FROM (VALUES
    (interval '150 h', '1.4.0', 'staging', 'succeeded'),
    (interval '149 h', '1.4.0', 'production', 'succeeded'),
    (interval '75 h', '1.4.1', 'staging', 'succeeded'),
    (interval '74 h', '1.4.1', 'production', 'rolled_back'),
    (interval '73 h', '1.4.0', 'production', 'succeeded'),
    (interval '20 h', '1.4.2', 'staging', 'succeeded')
) AS past (hours, version, environment, status)
WHERE NOT EXISTS (SELECT 1 FROM deployments) ORDER BY hours DESC RETURNING id"""


class PostgresReports:
    def __init__(self, database: Postgres) -> None:
        self._database = database

    async def activity(self, since: datetime, until: datetime) -> dict[str, Any]:
        """Sessions by agent and status now, events by kind, tokens and cost."""
        rows = await self._database.rows(ACTIVITY, since=since, until=until)
        kinds = [row for row in rows if row["kind"]]
        sessions: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for row in rows:
            if row["agent"]:
                sessions[row["agent"]][row["status"]] = row["sessions"]
        return {
            "sessions": dict(sessions),
            "events": {row["kind"]: row["events"] for row in kinds},
            "tokens": int(sum(row["tokens"] or 0 for row in kinds)),
            "cost": sum((row["cost"] or Decimal(0) for row in kinds), Decimal(0)),
        }

    async def of_a_day(self, since: datetime) -> dict[str, Any]:
        """The activity of 24 hours, and how many sessions wait for a decision now."""
        until = since + DAY
        waiting = (await self.standing(seconds=0))["waiting"]
        activity = await self.activity(since, until)
        return {"since": since, "until": until, **activity, "waiting": waiting}

    async def daily(self) -> None:
        """Says what happened yesterday, in UTC, as one event of the log."""
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        log.info("daily report", extra=await self.of_a_day(today - DAY))

    async def standing(self, *, seconds: float) -> dict[str, int]:
        """How many sessions wait for somebody: stuck without a worker for so long, overdue for
        so long, paused, waiting for a decision.
        """
        return (await self._database.rows(STANDING, seconds=seconds))[0]

    async def scheduler_leads(self) -> bool:
        """Whether any scheduler holds the lock of the one that acts."""
        return bool(await self._database.rows(LEADS))

    async def seed_ledger(self) -> int:
        """How many lines an empty deployment ledger has been given."""
        return len(await self._database.rows(SEED))

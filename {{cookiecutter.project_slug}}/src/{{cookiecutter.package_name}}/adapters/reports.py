"""What operators ask about all sessions at once, and the example lines that `seed` plants."""

import logging
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ..agent.session import Status
from .postgres import Postgres
from .schedule import SCHEDULER_LOCK
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
WORK = f"""WITH ready AS (
    SELECT lane, {FREE} AS is_free,
        extract(epoch FROM now() - greatest(updated_at, wake_at))::float AS age
    FROM sessions WHERE status = 'ready' AND (wake_at IS NULL OR wake_at <= now())
), work AS (
    SELECT lane, count(*) FILTER (WHERE is_free) AS queued,
        max(age) FILTER (WHERE is_free) AS age,
        count(*) FILTER (WHERE age > %(stalled)s) AS stalled
    FROM ready GROUP BY lane
), workers AS (
    SELECT lane, count(*) AS workers FROM processes
    WHERE kind = 'worker' AND lease_until > now() GROUP BY lane
)
SELECT lane, coalesce(queued, 0) AS queued, coalesce(age, 0) AS age,
    coalesce(stalled, 0) AS stalled, coalesce(workers, 0) AS workers
FROM work FULL JOIN workers USING (lane)"""
"""By sessions_ready: what is finished is not looked at."""
CENSUS = "SELECT status, count(*) AS sessions FROM sessions GROUP BY status"
"""From sessions_by_status alone, but from all of it: who asks looks at what it took."""
DEAD = "SELECT count(*) AS count FROM dead_letters"
LEADS = f"""SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND (classid, objid, objsubid) = (0, {SCHEDULER_LOCK}, 1)
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
FORKS = "SELECT id::text FROM sessions WHERE parent = %(id)s ORDER BY created_at, id"
ROW = "SELECT * FROM sessions WHERE id = %(id)s"
EFFECTS = "SELECT * FROM effects WHERE session_id = %(id)s ORDER BY at, key"
RECIPIENTS = "SELECT * FROM recipients WHERE session_id = %(id)s ORDER BY channel, place"
DEAD_LETTERS = "SELECT * FROM dead_letters WHERE session_id = %(id)s ORDER BY seq"
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

    async def work(self, *, stalled: float) -> list[dict[str, Any]]:
        """A row for each lane: sessions that wait for a worker, how long the first has done so,
        those in which nothing has happened for so many seconds, and the workers that live.
        """
        return await self._database.rows(WORK, stalled=stalled)

    async def census(self) -> dict[Status, int]:
        """All sessions by status."""
        rows = await self._database.rows(CENSUS)
        return {row["status"]: row["sessions"] for row in rows}

    async def dead_letters(self) -> int:
        """Notices that reached nobody."""
        return int((await self._database.rows(DEAD))[0]["count"])

    async def scheduler_leads(self) -> bool:
        """Whether any scheduler holds the lock of the one that acts."""
        return bool(await self._database.rows(LEADS))

    async def forks(self, session_id: str) -> list[str]:
        """The sessions that began with what was said in this one."""
        return [row["id"] for row in await self._database.rows(FORKS, id=session_id)]

    async def kept(self, session_id: str) -> dict[str, list[dict[str, Any]]]:
        """What is stored of a session beside its events: its row, what its tools did, who was told
        of it and who could not be.
        """
        all_ = {
            "row": ROW,
            "effect": EFFECTS,
            "recipient": RECIPIENTS,
            "dead_letter": DEAD_LETTERS,
        }
        return {name: await self._database.rows(sql, id=session_id) for name, sql in all_.items()}

    async def seed_ledger(self) -> int:
        """How many lines an empty deployment ledger has been given."""
        return len(await self._database.rows(SEED))

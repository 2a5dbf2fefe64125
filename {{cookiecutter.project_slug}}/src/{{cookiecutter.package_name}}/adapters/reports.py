"""What operators ask about all sessions at once; the plan of each query is tested."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal

from ..agent.ports import Activity, Deployment, Standing
from ..agent.session import Status
from .postgres import SCHEDULER_LOCK, Postgres
from .sessions import FREE

_ACTIVE = """SELECT id, agent, status FROM sessions
    WHERE updated_at >= %(since)s AND created_at < %(until)s AND status"""
ACTIVITY = f"""WITH active AS ({_ACTIVE} <> 'ready' UNION ALL {_ACTIVE} = 'ready'),
happened AS (
    SELECT a.*, e.data->>'kind' AS kind, e.data->'usage' AS usage
    FROM active a
        JOIN events first ON first.session_id = a.id AND first.seq = 1
        JOIN events e ON e.session_id = a.id
            AND e.seq > coalesce(split_part(first.data->>'forked_from', '@', 2)::int, 0)
    WHERE (e.data->>'at')::timestamptz >= %(since)s AND (e.data->>'at')::timestamptz < %(until)s
)
SELECT agent, status, kind, count(DISTINCT id) AS sessions, count(*) AS events,
    sum((usage->>'input_tokens')::bigint + (usage->>'output_tokens')::bigint) AS tokens,
    sum((usage->>'cost')::numeric) AS cost
FROM happened GROUP BY GROUPING SETS ((agent, status), (kind))
ORDER BY agent, status, kind"""
"""One aggregate over the sessions that changed since then, found by sessions_updated and
sessions_ready; their events by the primary key. What a fork has copied happened in another."""
STUCK = f"""SELECT count(*) AS count FROM sessions
    WHERE status = 'ready' AND updated_at < now() - make_interval(secs => %(seconds)s) AND {FREE}"""
OVERDUE = """SELECT count(*) AS count FROM sessions
    WHERE status = 'waiting' AND wake_at < now() - make_interval(secs => %(seconds)s)"""
IN_STATUS = "SELECT count(*) AS count FROM sessions WHERE status = %(status)s"
"""By sessions_ready, sessions_waiting and sessions_by_status."""
LEADS = f"""SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND (classid, objid, objsubid) = (0, {SCHEDULER_LOCK}, 1)
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
SEED = """WITH once AS (
    INSERT INTO effects (key, session_id, request)
    SELECT %(key)s, split_part(%(key)s, ':', 1)::uuid, '{}'
    WHERE NOT EXISTS (SELECT 1 FROM deployments)
    ON CONFLICT (key) DO NOTHING RETURNING key
), lines AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('deployments', 'id')) AS new_id, line.*
    FROM once, jsonb_to_recordset(%(lines)s::text::jsonb) AS line(id bigint, version text,
        environment text, status text, started_at timestamptz, completed_at timestamptz,
        deployed_by text, commit text, rollback_of bigint)
)
INSERT INTO deployments (id, version, environment, status, started_at, completed_at, deployed_by,
    commit, rollback_of)
SELECT new_id, version, environment, status, started_at, completed_at, deployed_by, commit,
    (SELECT bad.new_id FROM lines bad WHERE bad.id = lines.rollback_of)
FROM lines RETURNING id"""


class PostgresReports:
    def __init__(self, database: Postgres) -> None:
        self._database = database

    async def activity(self, since: datetime, until: datetime) -> Activity:
        rows = await self._database.rows(ACTIVITY, since=since, until=until)
        kinds = [row for row in rows if row["kind"]]
        sessions: defaultdict[str, dict[Status, int]] = defaultdict(dict)
        for row in rows:
            if row["agent"]:
                sessions[row["agent"]][row["status"]] = row["sessions"]
        return Activity(
            sessions=dict(sessions),
            events={row["kind"]: row["events"] for row in kinds},
            tokens=int(sum(row["tokens"] or 0 for row in kinds)),
            cost=sum((row["cost"] or Decimal(0) for row in kinds), Decimal(0)),
        )

    async def standing(self, *, seconds: float) -> Standing:
        return Standing(
            stuck=await self._count(STUCK, seconds=seconds),
            overdue=await self._count(OVERDUE, seconds=seconds),
            paused=await self._count(IN_STATUS, status="paused"),
            waiting=await self._count(IN_STATUS, status="waiting"),
        )

    async def scheduler_leads(self) -> bool:
        """Whether any scheduler holds the lock of the one that acts."""
        return bool(await self._database.rows(LEADS))

    async def seed_ledger(self, lines: Sequence[Deployment], *, key: str) -> int:
        told = json.dumps([asdict(line) for line in lines], default=datetime.isoformat)
        return len(await self._database.rows(SEED, key=key, lines=told))

    async def _count(self, sql: str, **values: object) -> int:
        return int((await self._database.rows(sql, **values))[0]["count"])

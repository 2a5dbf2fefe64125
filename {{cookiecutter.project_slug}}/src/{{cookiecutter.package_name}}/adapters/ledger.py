"""The deployment ledger in PostgreSQL: every change is one statement, and a repeat changes nothing.

A key begins with the id of the session that acts, as in `SESSION:CALL`.
"""

from collections.abc import Sequence
from typing import Any

from psycopg.rows import DictRow
from pydantic_core import to_json

from ..errors import NotFound
from ..ledger import Deployment
from .postgres import Postgres
from .together import Together

COLUMNS = """id, version, environment, status, started_at, completed_at, deployed_by, commit,
    rollback_of, image, config, committed_at"""
OPTIONAL = {"deployed_by": "", "commit": "", "rollback_of": None}
RECENT = f"SELECT {COLUMNS} FROM deployments ORDER BY id DESC LIMIT %(limit)s"
RECENT_THERE = f"""SELECT {COLUMNS} FROM deployments WHERE environment = %(environment)s
    ORDER BY id DESC LIMIT %(limit)s"""
GET = f"SELECT {COLUMNS} FROM deployments WHERE id = %(id)s"
RECORD = f"""WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(lines)s::text::jsonb) AS g(key text, request jsonb,
        version text, environment text, deployed_by text, commit text, rollback_of bigint)
), effect AS (
    INSERT INTO effects (key, session_id, request, result)
    SELECT key, split_part(key, ':', 1)::uuid, request,
        jsonb_build_object('id', nextval(pg_get_serial_sequence('deployments', 'id')))
    FROM given ORDER BY key
    ON CONFLICT (key) DO UPDATE SET key = excluded.key
    RETURNING key, (result->>'id')::bigint AS id
), line AS (
    INSERT INTO deployments AS d (id, version, environment, deployed_by, commit, rollback_of)
    SELECT id, version, environment, deployed_by, commit, rollback_of
    FROM effect JOIN given USING (key)
    ON CONFLICT (id) DO UPDATE SET version = d.version
    RETURNING {COLUMNS}
) SELECT key, line.* FROM line JOIN effect USING (id)"""
"""For a known key both conflicts give what is there; a plain select would miss what another
writes at this moment."""
COMPLETE = f"""UPDATE deployments SET completed_at = coalesce(completed_at, now()),
    status = CASE WHEN status = 'started' OR %(status)s = 'rolled_back'
        THEN %(status)s ELSE status END
WHERE id = %(id)s
RETURNING {COLUMNS}"""
"""No line goes back to a status that it has left, so a repeat changes nothing."""


async def recent(
    database: Postgres, environment: str | None = None, *, limit: int
) -> list[Deployment]:
    """The newest first, of one environment or of all."""
    sql = RECENT_THERE if environment else RECENT
    rows = await database.rows(sql, environment=environment, limit=limit)
    return [Deployment(**row) for row in rows]


class PostgresLedger:
    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._lines = Together(self._record)

    async def recent(self, environment: str | None = None, *, limit: int) -> list[Deployment]:
        return await recent(self._database, environment, limit=limit)

    async def get(self, deployment_id: int) -> Deployment | None:
        return _first(await self._database.rows(GET, id=deployment_id))

    async def record(self, *, key: str, **deployment: Any) -> Deployment:
        return await self._lines.add({"key": key, "request": deployment, **OPTIONAL, **deployment})

    async def _record(self, lines: Sequence[dict[str, Any]]) -> list[Deployment]:
        rows = await self._database.rows(RECORD, lines=to_json(lines).decode())
        made = {row.pop("key"): Deployment(**row) for row in rows}
        return [made[line["key"]] for line in lines]

    async def complete(self, deployment_id: int, *, status: str) -> Deployment:
        """The line, with its end; one that has ended before can still be rolled back."""
        if line := _first(await self._database.rows(COMPLETE, id=deployment_id, status=status)):
            return line
        raise NotFound(f"there is no deployment {deployment_id} in the ledger")


def _first(rows: list[DictRow]) -> Deployment | None:
    return Deployment(**rows[0]) if rows else None

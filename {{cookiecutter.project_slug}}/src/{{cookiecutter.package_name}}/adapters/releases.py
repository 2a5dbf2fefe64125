"""The deployment ledger as a pipeline writes it: a release is image and configuration, by a key."""

from datetime import datetime, timedelta
from typing import Any, Literal

from ..errors import Conflict, NotFound
from ..ledger import Deployment, Release
from .ledger import COLUMNS, COMPLETE, GET, recent
from .postgres import Postgres

Outcome = Literal["started", "succeeded", "failed"]
NOTE = f"""INSERT INTO deployments AS d
    (key, version, environment, image, config, commit, committed_at, deployed_by)
VALUES (%(key)s, %(version)s, %(environment)s, %(image)s, %(config)s, %(commit)s,
    %(committed_at)s::timestamptz, %(by)s)
ON CONFLICT (key) WHERE key IS NOT NULL DO UPDATE SET key = d.key
RETURNING {COLUMNS}"""
"""For a key that is known, the line that it made."""
NEWEST = f"""SELECT {COLUMNS} FROM deployments
    WHERE environment = %(environment)s AND version = %(version)s ORDER BY id DESC LIMIT 1"""
CURRENT = f"""SELECT {COLUMNS} FROM deployments
    WHERE environment = %(environment)s AND status = 'succeeded' ORDER BY id DESC LIMIT 1"""
SINCE = f"""SELECT {COLUMNS} FROM deployments
    WHERE environment = %(environment)s AND started_at >= now() - %(age)s::interval ORDER BY id"""
BEFORE = f"""SELECT {COLUMNS} FROM deployments d
    WHERE environment = %(environment)s AND id < %(id)s AND status = 'succeeded'
        AND (version, image, config) <> (%(version)s, %(image)s, %(config)s)
        AND (%(to)s::text IS NULL OR version = %(to)s) ORDER BY id DESC LIMIT 1"""
TAKE_BACK = f"""WITH bad AS (
    UPDATE deployments SET status = 'rolled_back', completed_at = coalesce(completed_at, now())
    WHERE id = %(id)s AND status <> 'rolled_back'
    RETURNING id
)
INSERT INTO deployments (version, environment, image, config, commit, committed_at, deployed_by,
    rollback_of, status, completed_at)
SELECT version, environment, image, config, commit, committed_at, %(by)s,
    bad.id, 'succeeded', now()
FROM deployments good, bad WHERE good.id = %(good)s::bigint
RETURNING {COLUMNS}"""
"""Only who takes it back, of many at once, adds the line of what runs again."""


class PostgresReleases:
    def __init__(self, database: Postgres) -> None:
        self._database = database

    async def note(
        self,
        release: Release,
        *,
        outcome: Outcome,
        by: str,
        key: str = "",
        committed_at: datetime | None = None,
    ) -> Deployment:
        """Its line, new or known by the key; without one a release is deployed there once."""
        known = vars(release)
        key = key or ":".join(known.values())
        line = await self._one(NOTE, **known, key=key, by=by, committed_at=committed_at)
        if other := {name: value for name, value in known.items() if getattr(line, name) != value}:
            raise Conflict(f"key {key!r} is deployment {line.id}, which differs in {_told(other)}")
        if outcome != "started":
            line = await self._one(COMPLETE, id=line.id, status=outcome)
            if line.status != outcome:
                raise Conflict(
                    f"deployment {line.id} of key {key!r} is {line.status} already: "
                    "a deployment of the same release again has a --key of its own"
                )
        return line

    async def take_back(
        self, environment: str, version: str, *, by: str, to: str | None = None
    ) -> tuple[Deployment, Deployment | None]:
        """The version's newest line, rolled back, and what runs there instead; twice is once."""
        bad = await self._one(NEWEST, environment=environment, version=version)
        release = {name: getattr(bad, name) for name in ("version", "image", "config")}
        good = await self._first(BEFORE, **release, environment=environment, id=bad.id, to=to)
        if to and not good:
            raise NotFound(f"{to} has not succeeded in {environment} before {version}")
        await self._first(TAKE_BACK, id=bad.id, good=good.id if good else None, by=by)
        bad = await self._one(GET, id=bad.id)
        return bad, await self._first(CURRENT, environment=environment)

    async def recent(self, environment: str | None, *, limit: int) -> list[Deployment]:
        return await recent(self._database, environment, limit=limit)

    async def current(self, environment: str) -> Deployment:
        """What runs there: the newest that succeeded and was not taken back."""
        if line := await self._first(CURRENT, environment=environment):
            return line
        raise NotFound(f"nothing has succeeded in {environment}: `release list` has its lines")

    async def since(self, environment: str, age: timedelta) -> list[Deployment]:
        return await self._lines(SINCE, environment=environment, age=age)

    async def _one(self, sql: str, **values: Any) -> Deployment:
        if line := await self._first(sql, **values):
            return line
        what = f"{values.get('version')} in {values.get('environment')}"
        raise NotFound(f"the ledger has no deployment of {what}: `release list` has its lines")

    async def _first(self, sql: str, **values: Any) -> Deployment | None:
        return next(iter(await self._lines(sql, **values)), None)

    async def _lines(self, sql: str, **values: Any) -> list[Deployment]:
        return [Deployment(**row) for row in await self._database.rows(sql, **values)]


def _told(facts: dict[str, str]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in facts.items())

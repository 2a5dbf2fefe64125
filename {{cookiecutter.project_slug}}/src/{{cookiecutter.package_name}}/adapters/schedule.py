"""When each job ran last, and which of the schedulers leads."""

from datetime import datetime
from typing import cast

from .postgres import Direct, Postgres

SCHEDULER_LOCK = 12_2012  # any number that all schedulers agree on


class PostgresJobs:
    def __init__(self, database: Postgres) -> None:
        self._database = database

    async def last_run(self, job: str) -> datetime:
        """The last run; a job never seen before counts from now on."""
        rows = await self._database.rows(
            """
            INSERT INTO jobs (name) VALUES (%(job)s)
            ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING last_run
            """,
            job=job,
        )
        return cast("datetime", rows[0]["last_run"])

    async def record(self, job: str, *, ran_at: datetime) -> None:
        await self._database.rows(
            "UPDATE jobs SET last_run = %(ran_at)s WHERE name = %(job)s", job=job, ran_at=ran_at
        )


class PostgresLeader:
    """Leads while its connection holds an advisory lock; the lock dies with the connection."""

    def __init__(self, url: str, *, application: str, lock: int = SCHEDULER_LOCK) -> None:
        self._direct = Direct(url, application=application)
        self._lock = lock

    async def leads(self) -> bool:
        """Who holds the lock takes it once more, which is free."""
        sql = "SELECT pg_try_advisory_lock(%(lock)s) AS holds"
        return bool((await self._direct.row(sql, lock=self._lock))["holds"])

    async def close(self) -> None:
        await self._direct.close()

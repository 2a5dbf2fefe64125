"""Which processes live: each has a row with a lease, and a lock that dies with it at once."""

import socket
from os import getpid
from typing import Any

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import DictRow

from .postgres import Postgres, connect, unavailable

LEASE_SECONDS = 5
BEAT_SECONDS = 1.5
LOCKS = 12_2014  # the class of the locks that processes hold on their ids


class PostgresProcesses:
    """Beats on a connection of its own, past any pooler: its lock is the sign of life."""

    def __init__(
        self, database: Postgres, url: str, *, application: str, about: dict[str, str]
    ) -> None:
        self._database = database
        self._url = url
        self._application = application
        self._about = about
        self._connection: AsyncConnection[DictRow] | None = None
        self._id: int | None = None

    @property
    def id(self) -> int:
        """That of the last beat; 0, which owns nothing, before the first."""
        return self._id or 0

    async def beat(self) -> int:
        try:
            if self._connection is None:
                self._connection = await connect(self._url, self._application)
                self._id = None
            if self._id is None or not await self._renew(self._connection):
                self._id = await self._register(self._connection)
        except OperationalError as error:
            await self.close()
            raise unavailable(error) from error
        return self._id

    async def bury(self) -> int:
        rows = await self._database.rows(
            f"""WITH dead AS (
                DELETE FROM processes
                WHERE lease_until < now() OR pg_try_advisory_xact_lock({LOCKS}, id::int)
                RETURNING 1
            ) SELECT count(*) AS count FROM dead"""
        )
        return int(rows[0]["count"])

    async def alive(self) -> list[dict[str, Any]]:
        return await self._database.rows(
            "SELECT * FROM processes WHERE lease_until > now() ORDER BY kind, id"
        )

    async def close(self) -> None:
        """Gone in good order: what it still held is free at once."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await connection.execute("DELETE FROM processes WHERE id = %s", [self._id])
        except OperationalError:
            self._id = None  # the lock is gone with the connection, which says the same
        await connection.close()

    async def _renew(self, connection: AsyncConnection[DictRow]) -> bool:
        cursor = await connection.execute(
            "UPDATE processes SET lease_until = now() + make_interval(secs => %s) WHERE id = %s",
            [LEASE_SECONDS, self._id],
        )
        return cursor.rowcount == 1

    async def _register(self, connection: AsyncConnection[DictRow]) -> int:
        """Row and lock in one statement: nobody sees the one without the other."""
        cursor = await connection.execute(
            f"""WITH me AS (
                INSERT INTO processes (kind, name, release, lane, lease_until)
                VALUES (%(kind)s, %(name)s, %(release)s, %(lane)s,
                    now() + make_interval(secs => %(seconds)s))
                RETURNING id
            ) SELECT id, pg_advisory_lock({LOCKS}, id::int) FROM me""",
            self._about | {"name": f"{socket.gethostname()}:{getpid()}", "seconds": LEASE_SECONDS},
        )
        row = await cursor.fetchone()
        return int((row or {})["id"])

"""Which processes live: each has a row with a lease, and a lock that dies with it at once."""

import socket
from contextlib import suppress
from os import getpid
from typing import Any

from psycopg.rows import DictRow

from ..errors import Unavailable
from .postgres import Direct, Postgres

LEASE_SECONDS = 5
BEAT_SECONDS = 1.5
LOCKS = 12_2014  # the class of the locks that processes hold on their ids
RENEW = """UPDATE processes SET lease_until = now() + make_interval(secs => %(seconds)s)
    WHERE id = %(id)s RETURNING id"""
REGISTER = f"""WITH me AS (
        INSERT INTO processes (kind, name, release, lane, lease_until)
        VALUES (%(kind)s, %(name)s, %(release)s, %(lane)s,
            now() + make_interval(secs => %(seconds)s))
        RETURNING id
    ) SELECT id, pg_advisory_lock({LOCKS}, id::int) FROM me"""
"""Row and lock in one statement: nobody sees the one without the other."""
LEAVE = "DELETE FROM processes WHERE id = %(id)s"


class PostgresProcesses:
    """Beats on a connection of its own, past any pooler: its lock is the sign of life."""

    def __init__(
        self, database: Postgres, url: str, *, application: str, about: dict[str, str]
    ) -> None:
        self._database = database
        self._direct = Direct(url, application=application)
        self._about = about | {"name": f"{socket.gethostname()}:{getpid()}"}
        self._id: int | None = None

    @property
    def id(self) -> int:
        """That of the last beat; 0, which owns nothing, before the first."""
        return self._id or 0

    async def beat(self) -> int:
        me: DictRow = {}
        if self._direct.is_open:
            me = await self._direct.row(RENEW, id=self._id, seconds=LEASE_SECONDS)
        me = me or await self._direct.row(REGISTER, seconds=LEASE_SECONDS, **self._about)
        self._id = int(me["id"])
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
        if self._id:
            with suppress(Unavailable):  # the lock is gone with the connection, which says the same
                await self._database.rows(LEAVE, id=self._id)
        await self._direct.close()

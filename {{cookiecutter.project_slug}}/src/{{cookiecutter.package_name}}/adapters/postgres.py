"""PostgreSQL holds the truth: the ways to it, and whether its schema is this release's."""

import asyncio
import math
from pathlib import Path
from time import monotonic
from typing import Any

from psycopg import AsyncConnection, OperationalError
from psycopg.errors import AdminShutdown, InvalidSchemaName, ReadOnlySqlTransaction, UndefinedTable
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ..errors import Unavailable
from .slow import note_slow
from .terms import USUAL, Terms

MIGRATIONS = Path(__file__).parent.parent / "migrations" / "versions"
CONNECT_SECONDS = 3
LINK = {
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that is gone without a word is missed in 20 seconds, not in two hours,"""
GUARDS = """SELECT set_config('tcp_keepalives_idle', '5', false),
    set_config('tcp_keepalives_interval', '5', false),
    set_config('tcp_keepalives_count', '3', false),
    set_config('statement_timeout', %(limit)s, false),
    set_config('idle_in_transaction_session_timeout', %(limit)s, false)"""
"""and so is a client: what it had locked is free, and what it began ends. Not said when connecting,
where a pooler would refuse it."""
PREPARE_AFTER = 5
REST_SECONDS = 0.1
PING_SECONDS = 2
AWAY = (OperationalError, PoolTimeout, ReadOnlySqlTransaction)
"""What says that the database is not there, or not the one that takes writes."""
OLD = (UndefinedTable, InvalidSchemaName)
FAULTS = (*AWAY, *OLD)
UNDONE = (AdminShutdown, ReadOnlySqlTransaction)
"""The server has done nothing, and will do nothing on this connection."""


class Link(AsyncConnection[DictRow]):
    """A connection of the pool, which knows when it was last used."""

    used = 0.0


Pool = AsyncConnectionPool[Link]


class Postgres:
    """A pool of connections, opened in the background: a database that is away delays no start."""

    name = "database"

    def __init__(self, url: str, *, pool_size: int, application: str, terms: Terms = USUAL) -> None:
        self._url = url
        self._application = application
        self._terms = terms
        prepared = {"prepare_threshold": PREPARE_AFTER if terms.prepare else None}
        self._pool: Pool = AsyncConnectionPool(
            url,
            connection_class=Link,
            min_size=1,
            max_size=pool_size,
            timeout=terms.wait_seconds,
            max_idle=terms.idle_seconds,
            max_lifetime=terms.lifetime_seconds,
            open=False,
            check=self._check,
            configure=None if terms.is_pooled else self._guard,
            kwargs=_options(application, CONNECT_SECONDS) | prepared,
        )

    async def _guard(self, connection: AsyncConnection[DictRow]) -> None:
        """For the day that this process ends, or can't be heard, in the middle of a statement."""
        await guard(connection, self._terms.statement_seconds)

    async def _check(self, connection: Link) -> None:
        """One that has rested. Where one has died, all have: each would cost a wait to find out."""
        used, connection.used = connection.used, monotonic()
        if connection.used - used < REST_SECONDS:
            return
        try:
            await AsyncConnectionPool.check_connection(connection)
        except OperationalError:
            await self._pool.drain()
            raise

    async def open(self) -> None:
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close()

    async def rows(self, sql: str, **values: object) -> list[DictRow]:
        try:
            return await self._rows(sql, values)
        except Unavailable as error:
            if not isinstance(error.__cause__, UNDONE):
                raise
        await self._pool.drain()
        return await self._rows(sql, values)

    async def _rows(self, sql: str, values: dict[str, object]) -> list[DictRow]:
        asked, began = monotonic(), math.inf
        try:
            connection = await self._pool.getconn()
            try:
                began = monotonic()
                return await self._answer(connection, sql, values)
            finally:  # by hand: each statement commits itself, and there is one for each request
                await self._pool.putconn(connection)
        except FAULTS as error:
            raise _told(error) from error
        finally:
            ended, limit = monotonic(), self._terms.slow_seconds
            if ended - asked > limit:
                waited = round(min(began, ended) - asked, 3)
                note_slow("statement", sql, seconds=ended - asked, limit=limit, waited=waited)

    async def _answer(
        self, connection: AsyncConnection[DictRow], sql: str, values: dict[str, object]
    ) -> list[DictRow]:
        """Timed here, as behind a pooler the server may not know how long it has."""
        seconds = self._terms.statement_seconds
        try:
            async with asyncio.timeout(seconds):
                cursor = await connection.execute(sql.encode(), values)
                return [] if cursor.rownumber is None else await cursor.fetchall()
        except TimeoutError as error:
            reason = f"it took over {seconds:g} s (DATABASE_STATEMENT_TIMEOUT) and was cancelled"
            raise Unavailable(f"the database does not answer a statement: {reason}") from error

    async def ping(self) -> None:
        """By way of the pool, as every request goes; by itself when that fails, to learn why."""
        try:
            async with self._pool.connection(PING_SECONDS) as connection:
                await connection.execute("SELECT 1")
        except FAULTS as error:
            await (await connect(self._url, self._application, seconds=PING_SECONDS)).close()
            raise _told(error) from error


class PostgresSchema:
    """Ready when the tables are those that this release knows, or newer: migrations only expand."""

    name = "schema"

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._needed = max(file.name[:4] for file in MIGRATIONS.glob("[0-9]*.py"))

    async def ping(self) -> None:
        await self._database.ping()  # or the reason would be that of the pool, which knows none
        rows = await self._database.rows("SELECT version_num FROM alembic_version")
        at = rows[0]["version_num"] if rows else "0000"
        if at < self._needed:
            raise Unavailable(
                f"the schema is at {at}, this release needs {self._needed}: run `migrate`"
            )


class Direct:
    """A connection of its own, past any pooler: made when it is wanted, given up when it fails."""

    def __init__(self, url: str, *, application: str) -> None:
        self._url = url
        self._application = application
        self._connection: AsyncConnection[DictRow] | None = None
        self._opening = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    async def row(self, sql: str, **values: object) -> DictRow:
        """The first row, or an empty one."""
        async with self._opening:
            if self._connection is None:
                self._connection = await connect(self._url, self._application)
            connection = self._connection
        try:
            cursor = await connection.execute(sql.encode(), values)
            return (None if cursor.rownumber is None else await cursor.fetchone()) or {}
        except AWAY as error:
            if self._connection is connection:
                await self.close()
            raise unavailable(error) from error

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            await connection.close()


async def connect(
    url: str, application: str, *, seconds: int = CONNECT_SECONDS
) -> AsyncConnection[DictRow]:
    """A connection outside the pool."""
    try:
        connection = await AsyncConnection.connect(url, **_options(application, seconds))
        try:
            await guard(connection, USUAL.statement_seconds)
        except BaseException:
            await connection.close()
            raise
    except AWAY as error:
        raise unavailable(error) from error
    return connection


async def guard(connection: AsyncConnection[DictRow], seconds: float) -> None:
    await connection.execute(GUARDS, {"limit": f"{round(seconds * 1000)}ms"})


def _options(application: str, seconds: int) -> dict[str, Any]:
    return LINK | {
        "autocommit": True,
        "row_factory": dict_row,
        "connect_timeout": seconds,
        "application_name": application,
    }


def _told(error: Exception) -> Unavailable:
    if isinstance(error, OLD):
        return Unavailable("the schema is older than this release: run `migrate`")
    return unavailable(error)


def unavailable(error: Exception) -> Unavailable:
    reason = " ".join(str(error).split()).rstrip(".?") or type(error).__name__
    return Unavailable("the database does not answer (DATABASE_URL)", reason=reason)

"""Where the cache is kept: in an unlogged table, which a crash may empty, or in a Redis."""

from typing import TYPE_CHECKING, TypeVar, cast

from ..errors import Unavailable
from .postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Awaitable


T = TypeVar("T")
PORTION = 1_000
SECONDS = 1.0
GET = "SELECT value FROM cache WHERE key = %(key)s AND expires_at > now()"
PUT = """INSERT INTO cache (key, value, expires_at)
VALUES (%(key)s, %(value)s, now() + make_interval(secs => %(seconds)s))
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"""
DELETE = "DELETE FROM cache WHERE key = %(key)s"
EXPIRE = """DELETE FROM cache WHERE key = ANY (array(
    SELECT key FROM cache WHERE expires_at <= now() ORDER BY expires_at
    LIMIT %(portion)s FOR UPDATE SKIP LOCKED)) RETURNING 1"""


class PostgresCache:
    def __init__(self, database: Postgres) -> None:
        self._database = database

    async def get(self, key: str) -> bytes | None:
        rows = await self._database.rows(GET, key=key)
        return bytes(rows[0]["value"]) if rows else None

    async def put(self, key: str, value: bytes, *, seconds: float) -> None:
        await self._database.rows(PUT, key=key, value=value, seconds=seconds)

    async def delete(self, key: str) -> None:
        await self._database.rows(DELETE, key=key)

    async def expire(self) -> int:
        """In portions: each is a short transaction."""
        expired = 0
        while gone := len(await self._database.rows(EXPIRE, portion=PORTION)):
            expired += gone
        return expired

    async def close(self) -> None:
        """The database is closed by whom it was opened."""


class RedisCache:
    """Asked with little patience: what it keeps can be got anew."""

    def __init__(self, url: str, *, prefix: str) -> None:
        from redis.asyncio import Redis

        self._prefix = prefix
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS
        )

    async def get(self, key: str) -> bytes | None:
        return cast("bytes | None", await _answer(self._redis.get(self._prefix + key)))

    async def put(self, key: str, value: bytes, *, seconds: float) -> None:
        lasts = max(1, round(seconds * 1000))
        await _answer(self._redis.set(self._prefix + key, value, px=lasts))

    async def delete(self, key: str) -> None:
        await _answer(self._redis.delete(self._prefix + key))

    async def expire(self) -> int:
        """Redis forgets by itself."""
        return 0

    async def close(self) -> None:
        await self._redis.aclose()


async def _answer(asked: "Awaitable[T]") -> T:
    from redis.exceptions import RedisError

    try:
        return await asked
    except (RedisError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Unavailable("the cache does not answer (CACHE_URL)", reason=reason) from error

"""How many requests may be with a provider at once, in all processes together.

A slot is an advisory lock of one connection that each process keeps for this alone: it is free the
moment its process dies, and nothing has to be cleaned up.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import DictRow

from ..errors import Unavailable
from .answers import Failure
from .postgres import connect, unavailable

LONGEST = 600.0
"""The most seconds for which one answer of a provider holds up everybody."""
POLL_SECONDS = 0.05
VANISHED = """SELECT set_config('tcp_keepalives_idle', '5', false),
    set_config('tcp_keepalives_interval', '5', false),
    set_config('tcp_keepalives_count', '3', false)"""
"""A host that is gone without a word gives its slots back in 20 seconds, not in two hours."""
CLAIM = """WITH cooling AS (
        SELECT extract(epoch FROM until - now())::float8 AS seconds
        FROM model_cooldowns WHERE model = %(model)s AND until > now()
    )
    SELECT (SELECT seconds FROM cooling), CASE WHEN NOT EXISTS (SELECT FROM cooling) THEN (
        SELECT slot FROM unnest(%(free)s::int[]) AS slot
        WHERE pg_try_advisory_lock(hashtext(%(provider)s), slot) LIMIT 1
    ) END AS slot"""
RELEASE = "SELECT pg_advisory_unlock(hashtext(%(provider)s), %(slot)s)"
COOL_DOWN = """INSERT INTO model_cooldowns AS known (model, until)
    VALUES (%(model)s, now() + make_interval(secs => %(seconds)s))
    ON CONFLICT (model) DO UPDATE SET until = greatest(known.until, excluded.until)"""


def cooling(seconds: float) -> Failure:
    reason = f"its provider wants {seconds:.0f} s of rest"
    return Failure(reason, is_passing=True, retry_after=seconds)


class Uncapped:
    """No limit, and cool-downs that this process alone keeps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    @asynccontextmanager
    async def slot(self, model: str) -> AsyncIterator[None]:
        if (seconds := self._until.get(model, 0) - self._clock()) > 0:
            raise cooling(seconds)
        yield

    async def cool_down(self, model: str, seconds: float) -> None:
        until = self._clock() + min(seconds, LONGEST)
        self._until[model] = max(until, self._until.get(model, 0))


@dataclass(frozen=True, eq=False)
class Line:
    """A connection, and the slots that are locked on it."""

    connection: AsyncConnection[DictRow]
    held: set[tuple[str, int]] = field(default_factory=set)


@dataclass(frozen=True)
class Slot:
    line: Line
    provider: str
    number: int


class PostgresCap:
    """So many slots for each provider. Who finds none waits, and only the first in line asks."""

    def __init__(self, url: str, *, slots: int, application: str) -> None:
        self._url = url
        self._numbers = range(1, slots + 1)
        self._application = application
        self._line: Line | None = None
        self._opening = asyncio.Lock()
        self._turns = defaultdict[str, asyncio.Lock](asyncio.Lock)

    @asynccontextmanager
    async def slot(self, model: str) -> AsyncIterator[None]:
        async with self._turns[model.partition(":")[0]]:
            while (slot := await self._claim(model)) is None:  # noqa: ASYNC110 - others free it
                await asyncio.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            await asyncio.shield(self._release(slot))

    async def cool_down(self, model: str, seconds: float) -> None:
        line = await self._open()
        await asyncio.shield(self._row(line, COOL_DOWN, model=model, seconds=min(seconds, LONGEST)))

    async def close(self) -> None:
        if self._line:
            await self._drop(self._line)

    async def _claim(self, model: str) -> Slot | None:
        """Never cut short: a slot that is locked for nobody would stay so."""
        claiming = asyncio.ensure_future(self._try_claim(model))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            with suppress(Unavailable):
                if slot := await claiming:
                    await self._release(slot)
            raise

    async def _try_claim(self, model: str) -> Slot | None:
        line, provider = await self._open(), model.partition(":")[0]
        free = [number for number in self._numbers if (provider, number) not in line.held]
        row = await self._row(line, CLAIM, model=model, provider=provider, free=free)
        if row["seconds"] is not None:
            raise cooling(row["seconds"])
        if row["slot"] is None:
            return None
        line.held.add((provider, row["slot"]))
        return Slot(line, provider, row["slot"])

    async def _release(self, slot: Slot) -> None:
        """Where the database is away, the lock is gone already, or goes with the connection."""
        with suppress(Unavailable):
            await self._row(slot.line, RELEASE, provider=slot.provider, slot=slot.number)
        slot.line.held.discard((slot.provider, slot.number))

    async def _open(self) -> Line:
        async with self._opening:
            if self._line is None:
                self._line = Line(await connect(self._url, self._application))
                await self._row(self._line, VANISHED)
            return self._line

    async def _row(self, line: Line, sql: str, **values: object) -> DictRow:
        try:
            cursor = await line.connection.execute(sql.encode(), values)
            return (await cursor.fetchone() if cursor.description else None) or {}
        except OperationalError as error:
            await self._drop(line)
            raise unavailable(error) from error

    async def _drop(self, line: Line) -> None:
        if self._line is line:
            self._line = None
        await line.connection.close()

"""How many requests may be with a provider at once, in all processes together.

A slot is an advisory lock of one connection that each process keeps for this alone: it is free the
moment its process dies, and nothing has to be cleaned up.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from ..errors import Unavailable
from .answers import Failure
from .postgres import Direct

LONGEST = 600.0
"""The most seconds for which one answer of a provider holds up everybody."""
POLL_SECONDS = 0.05
CLAIM = """SELECT slot FROM unnest(%(free)s::int[]) AS slot
    WHERE pg_try_advisory_lock(hashtext(%(provider)s), slot) LIMIT 1"""
RELEASE = "SELECT pg_advisory_unlock(hashtext(%(provider)s), %(slot)s)"


class Uncapped:
    """No limit, but a model that wants a rest has it from this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    @asynccontextmanager
    async def slot(self, model: str) -> AsyncIterator[None]:
        self._leave_alone(model)
        yield

    def cool_down(self, model: str, seconds: float) -> None:
        until = self._clock() + min(seconds, LONGEST)
        self._until[model] = max(until, self._until.get(model, 0))

    def _leave_alone(self, model: str) -> None:
        if (seconds := self._until.get(model, 0) - self._clock()) > 0:
            reason = f"its provider wants {seconds:.0f} s of rest"
            raise Failure(reason, is_passing=True, retry_after=seconds)


class PostgresCap(Uncapped):
    """So many slots for each provider. Who finds none waits, and only the first in line asks."""

    def __init__(self, url: str, *, slots: int, application: str) -> None:
        super().__init__()
        self._direct = Direct(url, application=application)
        self._slots = range(1, slots + 1)
        self._held: set[tuple[str, int]] = set()
        self._turns = defaultdict[str, asyncio.Lock](asyncio.Lock)

    @asynccontextmanager
    async def slot(self, model: str) -> AsyncIterator[None]:
        provider = model.partition(":")[0]
        async with self._turns[provider]:
            self._leave_alone(model)
            while (slot := await self._claim(provider)) is None:
                await asyncio.sleep(POLL_SECONDS)
                self._leave_alone(model)
        try:
            yield
        finally:
            await asyncio.shield(self._release(provider, slot))

    async def close(self) -> None:
        await self._direct.close()

    async def _claim(self, provider: str) -> int | None:
        """Never cut short: a slot that is locked for nobody would stay so."""
        claiming = asyncio.ensure_future(self._try_claim(provider))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            with suppress(Unavailable):
                if slot := await claiming:
                    await self._release(provider, slot)
            raise

    async def _try_claim(self, provider: str) -> int | None:
        """One that this process holds already it could lock again, so those are not asked for."""
        free = [slot for slot in self._slots if (provider, slot) not in self._held]
        row = await self._direct.row(CLAIM, provider=provider, free=free)
        if slot := row.get("slot"):
            self._held.add((provider, slot))
        return slot

    async def _release(self, provider: str, slot: int) -> None:
        """Where the connection was lost, so is the lock, and there is nothing to release."""
        with suppress(Unavailable):
            await self._direct.row(RELEASE, provider=provider, slot=slot)
        self._held.discard((provider, slot))

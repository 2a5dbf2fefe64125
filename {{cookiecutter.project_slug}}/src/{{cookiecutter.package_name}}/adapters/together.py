"""Writes that wait for the database go to it together: under load one statement carries many."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from ..errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")
BATCH = 64
WRITERS = 2


class Together(Generic[Item, Result]):
    """Collects items for a function that writes a list of them, and gives each its own result."""

    def __init__(self, write: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._write = write
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._writers: set[asyncio.Task[None]] = set()

    async def add(self, item: Item) -> Result:
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if len(self._writers) < WRITERS:
            self._writers.add(asyncio.create_task(self._work(), context=Context()))  # nobody's
        return await done

    async def _work(self) -> None:
        """Till nothing waits. Gone at once then: what comes next counts on those that are there."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                if not await self._try(batch):
                    for one in batch:
                        await self._try([one])
        finally:
            self._writers.discard(asyncio.current_task())

    async def _try(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> bool:
        """False where one of them is bad, which is no other's fault: then each goes alone.

        What broke off may have been written, so it is not tried again here: who asked has to look.
        """
        try:
            results = await self._write([item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, Unavailable):
                return False
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
            return True
        for (_, done), result in zip(batch, results, strict=True):
            if not done.done():  # its task may have been cancelled meanwhile
                done.set_result(result)
        return True

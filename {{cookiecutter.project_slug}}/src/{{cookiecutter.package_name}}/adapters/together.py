"""Writes that wait for the database go to it together: under load one statement carries many."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

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
            self._writers.add(writer := asyncio.create_task(self._work()))
            writer.add_done_callback(self._writers.discard)
        return await done

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                self._tell(batch, await self._write([item for item, _ in batch]))
            except Exception:
                for one in batch:  # a bad one is no other's fault
                    await self._work_alone(*one)

    async def _work_alone(self, item: Item, done: asyncio.Future[Result]) -> None:
        try:
            self._tell([(item, done)], await self._write([item]))
        except Exception as error:
            if not done.done():
                done.set_exception(error)

    def _tell(
        self, batch: list[tuple[Item, asyncio.Future[Result]]], results: Sequence[Result]
    ) -> None:
        for (_, done), result in zip(batch, results, strict=True):
            if not done.done():  # its task may have been cancelled meanwhile
                done.set_result(result)

"""Celery's pool, made of one event loop: a task is a coroutine, and no thread waits for it.

Hundreds of sessions that wait for a model cost no more than their own state, and a task is brought
and acknowledged without waking a thread of its own: a quarter of a worker's time.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

from celery.app.trace import ExceptionInfo
from celery.concurrency.base import BasePool
from kombu.serialization import loads

from ..telemetry.spans import HEADER
from ..telemetry.traced import came_from

Act = Callable[..., Coroutine[Any, Any, object]]
Spawn = Callable[[Coroutine[Any, Any, None]], None]

ACKNOWLEDGERS = 4


def make_pool(acts: Mapping[str, Act], *, spawn: Spawn, finish: Callable[[], None]) -> type[Any]:
    """The class that Celery makes its pool of; `finish` waits for all that was spawned."""
    threads = ThreadPoolExecutor(ACKNOWLEDGERS, "acknowledge")  # not those that a tool may hold up

    class LoopPool(BasePool):  # type: ignore[misc]
        body_can_be_buffer = True
        signal_safe = False
        acknowledges_at_once = True
        """False where the transport speaks with its broker right in the acknowledgement."""

        def on_apply(
            self, _: object, args: tuple[Any, ...], __: object, **told: Callable[..., object]
        ) -> None:
            name, _id, headers, body, content_type, encoding = args
            came_from.set(headers.get(HEADER, ""))  # what is spawned here inherits it
            _args, given, _embed = loads(  # type: ignore[no-untyped-call]
                body, content_type, encoding, accept=["application/json"]
            )
            told["accept_callback"](os.getpid(), monotonic())
            spawn(self._act(acts[name], given, told["callback"]))

        async def _act(self, act: Act, given: dict[str, Any], end: Callable[..., object]) -> None:
            try:
                await act(**given)
                outcome = (0, None, 0.0)
            except Exception:  # Celery's own way of hearing of it
                outcome = (1, ExceptionInfo(), 0.0)
            if self.acknowledges_at_once:
                end(outcome)
            else:
                await asyncio.get_running_loop().run_in_executor(threads, end, outcome)

        def on_stop(self) -> None:
            finish()

    return LoopPool

"""What is true of the whole system: asked of the database when Prometheus asks, but not too often.

Every scheduler tells the same; rules take the most of what they say.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, get_args

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ..agent.session import Status
from ..errors import Unavailable

log = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
ANSWER_SECONDS = 2.0
SHARE = 100
"""A look rests a hundred times what it took: a million sessions are counted at 1 % of a core."""
LANES = {
    "queue_depth": ("queued", "Sessions that wait for a worker."),
    "queue_age_seconds": ("age", "How long the first of them has waited."),
    "sessions_stalled": ("stalled", "Sessions to be worked on in which nothing happens."),
    "workers": ("workers", "Workers that live."),
}
T = TypeVar("T")


class Look(Generic[T]):
    """An answer of the database, kept while it is fresh; None while there is none."""

    def __init__(self, ask: Callable[[], T], *, clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._until = -1.0
        self._answer: T | None = None

    def __call__(self) -> T | None:
        began = self._clock()
        if began >= self._until:
            self._answer, rest = self._asked(began)
            self._until = self._clock() + rest
        return self._answer

    def _asked(self, began: float) -> tuple[T | None, float]:
        try:
            answer = self._ask()
        except (Unavailable, TimeoutError):
            return None, FRESH_SECONDS
        except Exception:
            log.exception("standing unknown")
            return None, FRESH_SECONDS
        return answer, max(FRESH_SECONDS, SHARE * (self._clock() - began))


class Standing(Collector):
    """A part of /metrics; where the database is away it says that, and nothing else."""

    def __init__(
        self,
        work: Callable[[], Sequence[Mapping[str, Any]]],
        census: Callable[[], Mapping[Status, int]],
        dead: Callable[[], int] = int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = Look(work, clock=clock)
        self._census = Look(census, clock=clock)
        self._dead = Look(dead, clock=clock)
        self._lock = threading.Lock()

    def describe(self) -> Iterator[Metric]:
        return self._families((), {}, 0)

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            work = self._work()
            census = None if work is None else self._census()
            dead = None if work is None else self._dead()
        return self._families(work, census, dead)

    def _families(
        self,
        work: Sequence[Mapping[str, Any]] | None,
        census: Mapping[Status, int] | None,
        dead: int | None,
    ) -> Iterator[Metric]:
        answers = float(work is not None)
        yield GaugeMetricFamily("database_answers", "1 where the database does.", answers)
        if work is not None:
            for name, (column, help_) in LANES.items():
                lanes = GaugeMetricFamily(name, help_, labels=["lane"])
                for row in work:
                    lanes.add_metric([row["lane"]], row[column])
                yield lanes
        if census is not None:
            sessions = GaugeMetricFamily("sessions", "Sessions by status.", labels=["status"])
            for status in get_args(Status):
                sessions.add_metric([status], census.get(status, 0))
            yield sessions
        if dead is not None:
            yield GaugeMetricFamily("dead_letters", "Notices that reached nobody.", dead)


def on(loop: asyncio.AbstractEventLoop, ask: Callable[[], Awaitable[T]]) -> Callable[[], T]:
    """The same, to be called from another thread, and with an end."""

    async def bounded() -> T:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await ask()

    return lambda: asyncio.run_coroutine_threadsafe(bounded(), loop).result(2 * ANSWER_SECONDS)

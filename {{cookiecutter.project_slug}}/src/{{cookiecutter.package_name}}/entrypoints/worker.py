"""The worker: Celery brings tasks, one event loop per process does them.

Tasks wait far more than they work, so each is a thread that blocks on a coroutine of that one loop,
where the connection pools live too.
"""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar
from uuid import UUID

from celery import Celery, signals
from celery.apps.worker import Worker as CeleryWorker
from celery.exceptions import CPendingDeprecationWarning, Reject, SecurityWarning
from celery.worker import state

from ..about import about
from ..bootstrap import running, worker_celery
from ..errors import Unavailable
from ..service import ANSWER, CLEANUP, Service
from ..settings import Settings
from ..telemetry.logs import configure_logs
from ..telemetry.metrics import Metrics
from ..telemetry.probes import serve_probes

log = logging.getLogger(__name__)
T = TypeVar("T")

ALIVE_SECONDS = 2
RETRY_SECONDS = 1.0
UNUSED = ("without_gossip", "without_heartbeat", "without_mingle")  # talk among workers


def work(settings: Settings) -> int:
    """Works until SIGTERM; the exit code."""
    configure_logs(settings, "worker")
    signals.setup_logging.connect(_keep_our_logs, weak=False)
    warnings.simplefilter("ignore", SecurityWarning)  # of root and pickle; we accept JSON alone
    warnings.simplefilter("ignore", CPendingDeprecationWarning)  # tasks outlive a lost connection
    metrics = Metrics(settings, "worker")
    app = worker_celery(settings)
    with Loop(settings) as loop:
        serve_probes(settings.metrics_port, metrics=metrics, health=loop.health)
        register(app, loop, metrics)
        worker = Worker(
            app=app, quiet=True, without_gossip=True, without_heartbeat=True, without_mingle=True
        )
        worker.on_stop_signal = lambda: loop.cancel_after(settings.shutdown_grace)
        log.info("worker started", extra={"concurrency": settings.worker_concurrency})
        loop.wait_for_backing()
        worker.start()
        log.info("worker stopped")
    return int(worker.exitcode or 0)


class Worker(CeleryWorker):  # type: ignore[misc]
    """Celery's, but silent on stdout, which is for log events, and with a bound on its goodbye."""

    on_stop_signal: Callable[[], None]

    def install_platform_tweaks(self, _: CeleryWorker) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop_soon)

    def _stop_soon(self, *_: object) -> None:
        state.should_stop = 0
        self.on_stop_signal()


class Loop:
    """The event loop, in a thread of its own, and the service that lives on it."""

    def __init__(self, settings: Settings) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop", daemon=True)
        self._app = running(settings, "worker")
        self._in_flight: set[asyncio.Task[Any]] = set()
        self.service: Service

    def __enter__(self) -> "Loop":
        self._thread.start()
        self.service = self.run(self._app.__aenter__()).service
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._app.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def run_task(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Like `run`, for work that `cancel_after` may end."""

        async def tracked() -> T:
            task = asyncio.ensure_future(coroutine)
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
            return await task

        return self.run(tracked())

    def wait_for_backing(self) -> None:
        """Until everything answers and is migrated; SIGTERM ends the wait."""
        said = False
        while faults := self.run(self.service.broken()):
            if not said:
                log.warning("worker waits for a backing service", extra=faults)
            said = True
            time.sleep(RETRY_SECONDS)

    def cancel_after(self, seconds: float) -> None:
        def cancel() -> None:
            for task in self._in_flight:
                task.cancel()

        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, cancel)

    def health(self) -> dict[str, str] | None:
        """Healthy while the loop turns; None when something blocks it."""
        turned = threading.Event()
        self._loop.call_soon_threadsafe(turned.set)
        return about().health() if turned.wait(ALIVE_SECONDS) else None


def register(app: Celery, loop: Loop, metrics: Metrics) -> None:
    """The tasks by name. A new use case of the worker is one more line here."""
    me = f"{socket.gethostname()}:{os.getpid()}"

    def task(name: str, act: Callable[..., Coroutine[Any, Any, object]]) -> None:
        def run(**arguments: str) -> None:
            started = time.perf_counter()
            outcome = "failed"
            try:
                loop.run_task(act(**arguments))
                outcome = "done"
            except CancelledError:
                outcome = "handed back"
                log.warning("task handed back", extra={"task": name, **arguments})
                raise Reject(requeue=True) from None
            except Unavailable as error:
                extra = {"task": name, **arguments, "error": str(error)}
                log.warning("task left to the sweeper", extra=extra)
                raise
            except Exception:
                log.exception("task failed", extra={"task": name, **arguments})
                raise
            finally:
                metrics.tasks.labels(name, outcome).inc()
                metrics.task_seconds.labels(name).observe(time.perf_counter() - started)

        app.task(run, name=name)

    task(ANSWER, lambda check_id: loop.service.answer(UUID(check_id), by=me))
    task(CLEANUP, loop.service.cleanup)


def _keep_our_logs(**_: object) -> None:
    """Listening to this signal is how Celery is told to configure no logging of its own."""

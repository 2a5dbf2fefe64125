"""The worker: Celery brings tasks, one event loop per process does them.

Tasks wait far more than they work, so each is a coroutine of that one loop, where the connection
pools live too.
"""

import asyncio
import logging
import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from celery import Celery, signals
from celery.apps.worker import Worker as CeleryWorker
from celery.exceptions import CPendingDeprecationWarning, Reject, SecurityWarning
from celery.worker import state

from ..about import about
from ..adapters.processes import BEAT_SECONDS
from ..adapters.reports import REPORT
from ..bootstrap import App, engine, make_tracer, running, worker_celery
from ..deliverer import DELIVER
from ..engine import Engine
from ..errors import Unavailable
from ..service import ADVANCE
from ..settings import Settings
from ..telemetry.logs import configure_logs, session
from ..telemetry.metrics import Metrics
from ..telemetry.notes import Notes
from ..telemetry.probes import serve_probes
from ..telemetry.traced import trace_task
from ..upkeep import CLEANUP
from .memory import collect_rarely
from .pool import Act, make_pool

log = logging.getLogger(__name__)
T = TypeVar("T")

STOPS = (signal.SIGTERM, signal.SIGINT)
ALIVE_SECONDS = 2
STILL_SECONDS = 15.0  # longer than a database that is away can hold up a beat
RETRY_SECONDS = 1.0
CLOSING_SECONDS = 5.0
GOODBYE_SECONDS = 1.5
SPARE_THREADS, MOST_THREADS = 8, 256
"""Those of the tools that are no coroutines; one that never returns has its thread for good."""


def work(settings: Settings) -> int:
    """Works until SIGTERM; the exit code."""
    configure_logs(settings, "worker")
    signals.setup_logging.connect(_keep_our_logs, weak=False)
    warnings.simplefilter("ignore", SecurityWarning)  # of root and pickle; we accept JSON alone
    warnings.simplefilter("ignore", CPendingDeprecationWarning)  # tasks outlive a lost connection
    metrics = Metrics(settings, "worker")
    app = worker_celery(settings)
    stopping, consuming = threading.Event(), threading.Event()
    for number in STOPS:
        signal.signal(number, lambda *_: stopping.set())
    with Loop(settings, metrics) as loop:
        port, is_ready = settings.metrics_port, consuming.is_set
        serve_probes(port, metrics=metrics, health=loop.health, ready=is_ready)
        register(app, loop, metrics)
        worker = Worker(
            app=app, quiet=True, without_gossip=True, without_heartbeat=True, without_mingle=True
        )
        worker.pool_cls.acknowledges_at_once = worker.use_eventloop
        worker.stopping, worker.consuming = stopping, consuming
        worker.on_stop_signal = lambda: loop.drain(settings.shutdown_grace)
        log.info("worker started", extra={"concurrency": settings.worker_concurrency})
        if loop.start_heart(stopping):
            collect_rarely()
            worker.start()
            loop.stop_heart()
        log.info("worker stopped")
    code = int(worker.exitcode or 0)
    leave_within(GOODBYE_SECONDS, code)
    return code


def leave_within(seconds: float, code: int) -> None:
    """Python waits for all threads at its end: for one that hangs, for ever."""
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()


class Worker(CeleryWorker):  # type: ignore[misc]
    """Celery's, but silent on stdout, which is for log events, and with a bound on its goodbye."""

    stopping: threading.Event
    """Set, where the signal came before anyone could obey it."""
    consuming: threading.Event
    """Set, once tasks come here."""
    on_stop_signal: Callable[[], None]

    def install_platform_tweaks(self, _: CeleryWorker) -> None:
        for number in STOPS:
            signal.signal(number, self._stop_soon)
        if self.stopping.is_set():
            self._stop_soon()

    def on_consumer_ready(self, consumer: object) -> None:
        super().on_consumer_ready(consumer)
        self.consuming.set()

    def _stop_soon(self, *_: object) -> None:
        state.should_stop = 0
        self.on_stop_signal()


class Loop:
    """The event loop, in a thread of its own, with the engine and the heart that beat on it."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._notes = Notes(metrics=metrics, context_tokens=settings.context_tokens)
        self._loop = asyncio.new_event_loop()
        threads = min(settings.worker_concurrency + SPARE_THREADS, MOST_THREADS)
        self._loop.set_default_executor(ThreadPoolExecutor(threads, "tool"))
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop", daemon=True)
        tracer = make_tracer(settings, "worker")
        self._opened = running(settings, "worker", witness=self._notes, tracer=tracer)
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._beaten_at = math.inf  # still to come
        self._beating = asyncio.Lock()
        self.app: App
        self.engine: Engine

    def __enter__(self) -> "Loop":
        self._thread.start()
        self.app = self.run(self._opened.__aenter__())
        self._notes.know(self.app.service.agents)
        self.engine = engine(self._settings, self.app, witness=self._notes)
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._opened.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Work that `drain` may end; from any thread."""

        def spawned() -> None:
            task = self._loop.create_task(coroutine)
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)

        self._loop.call_soon_threadsafe(spawned)

    def finish(self) -> None:
        """Once all that was spawned has ended."""

        async def ended() -> None:
            while self._in_flight:
                await asyncio.wait(self._in_flight)

        self.run(ended())

    def wait_for_backing(self, stopping: threading.Event) -> None:
        """Until everything answers and is migrated, or this process is to stop."""
        said = False
        while (faults := self.run(self.app.upkeep.broken())) and not stopping.is_set():
            if not said:
                log.warning("worker waits for a backing service", extra=faults)
            said = True
            stopping.wait(RETRY_SECONDS)

    def start_heart(self, stopping: threading.Event) -> bool:
        """Once everything answers: from there on this process may hold leases."""
        while True:
            self.wait_for_backing(stopping)
            if stopping.is_set():
                return False
            with suppress(Unavailable):  # away again, meanwhile
                self.run(self.app.processes.beat())
                break
        self._beaten_at = time.monotonic()
        self._heart = asyncio.run_coroutine_threadsafe(self._beat(), self._loop)
        return True

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                async with self._beating:
                    await self.app.processes.beat()
                    await self.engine.tidy()
            except Unavailable as error:
                log.warning("worker missed a beat", extra={"error": str(error)})
            except Exception:  # a fault of ours: /health shows one that stays
                log.exception("worker's heart stumbled")
                continue
            self._beaten_at = time.monotonic()

    def stop_heart(self) -> None:
        """Between two beats: one cut short takes its connection along, and with it the goodbye."""

        async def stop() -> None:
            async with self._beating:
                self._heart.cancel()

        self._beaten_at = math.inf
        self.run(stop())

    def drain(self, seconds: float) -> None:
        """Each session ends with the step in flight; what takes longer is handed back."""
        self.engine.draining = True
        self._cancel_after(seconds)
        leave_within(seconds + CLOSING_SECONDS, 1)

    def _cancel_after(self, seconds: float) -> None:
        def cancel() -> None:
            for task in self._in_flight:
                task.cancel()

        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, cancel)

    def health(self) -> dict[str, str] | None:
        """Healthy while the loop turns and the heart beats; None when something blocks them."""
        if time.monotonic() - self._beaten_at > STILL_SECONDS:
            return None
        turned = threading.Event()
        self._loop.call_soon_threadsafe(turned.set)
        return about().health() if turned.wait(ALIVE_SECONDS) else None


def register(app: Celery, loop: Loop, metrics: Metrics) -> None:
    """The tasks by name. A new use case of the worker is one more line here."""
    acts: dict[str, Act] = {}
    app.conf.worker_pool = make_pool(acts, spawn=loop.spawn, finish=loop.finish)

    def task(name: str, act: Act) -> None:
        async def run(**arguments: str) -> None:
            started = time.perf_counter()
            outcome = "failed"
            session.set(arguments.get("session_id", ""))  # each task is a context of its own
            try:
                await act(**arguments)
                outcome = "done"
            except asyncio.CancelledError:
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

        metrics.tasks.labels(name, "failed")  # zero, or the first would not count
        acts[name] = run
        app.task(_stand_in, name=name)

    task(ADVANCE, loop.engine.advance)
    tracer = loop.app.tracer
    loop.app.deliverer.on_outcome = metrics.count_notice
    seldom: dict[str, Act] = {CLEANUP: loop.app.upkeep.cleanup, REPORT: loop.app.reports.daily}
    seldom[DELIVER] = loop.app.deliverer.deliver
    for name, act in seldom.items():
        task(name, trace_task(name, act, tracer) if tracer else act)


def _stand_in(**_: str) -> None:
    """Celery wants a function by the name; its pool runs what the name stands for there."""
    raise NotImplementedError


def _keep_our_logs(**_: object) -> None:
    """Listening to this signal is how Celery is told to configure no logging of its own."""

"""The scheduler: sweeps up what was lost and starts the periodic jobs.

Run as many as you like: one leads, the others wait for it to die.
"""

import asyncio
import logging
import signal
from datetime import UTC, datetime
from time import perf_counter

from celery.schedules import crontab

from ..about import about
from ..adapters.reports import REPORT, PostgresReports
from ..bootstrap import App, make_tracer, running
from ..errors import AppError, Unavailable
from ..schedules import Schedule, read_schedules
from ..settings import Settings
from ..telemetry import standing
from ..telemetry.logs import configure_logs
from ..telemetry.metrics import Metrics
from ..telemetry.notes import Notes
from ..telemetry.probes import serve_probes
from ..upkeep import CLEANUP

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
RETRY_SECONDS = 2.0
STUCK_SECONDS = 30.0
STALLED_SECONDS = 600.0


def now() -> datetime:
    return datetime.now(UTC)


JOBS = {
    REPORT: crontab(minute="7", hour="0", nowfun=now),
    CLEANUP: crontab(minute="17", hour="3", nowfun=now),
}
"""When each is due, in UTC."""


def schedule(settings: Settings) -> int:
    """Schedules until SIGTERM; the exit code."""
    configure_logs(settings, "scheduler")
    asyncio.run(Scheduler(settings).run())
    return 0


class Scheduler:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics(settings, "scheduler")
        self._stopping = asyncio.Event()
        self._ticked_at = now()
        self._schedules = {s.name: s for s in read_schedules(settings.schedules)}
        crons = {name: _crontab(s.cron) for name, s in self._schedules.items()}
        self._crontabs: dict[str, crontab] = {**JOBS, **crons}
        self._due: dict[str, datetime] = {}  # empty while another leads
        self._reached = True
        self._is_ready = False

    async def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        port, is_ready = self._settings.metrics_port, lambda: self._is_ready
        serve_probes(port, metrics=self._metrics, health=self._health, ready=is_ready)
        log.info("scheduler started", extra={"jobs": list(self._crontabs)})
        tracer = make_tracer(self._settings, "scheduler")
        notes = Notes(metrics=self._metrics, context_tokens=self._settings.context_tokens)
        async with running(self._settings, "scheduler", witness=notes, tracer=tracer) as app:
            notes.know(app.service.agents)
            self._tell_standing(app.reports)
            while not self._stopping.is_set():
                await self._wait(await self._tick(app))
        log.info("scheduler stopped")

    async def _tick(self, app: App) -> float:
        """One round of work where this scheduler leads; how long to wait for the next."""
        try:
            if await self._leads(app):
                began = perf_counter()
                self._metrics.swept.inc(await app.upkeep.sweep())
                # Of those that were finished alone: an alert misses them.
                self._metrics.sweep_seconds.observe(perf_counter() - began)
                await app.deliverer.sweep()
                await self._start_due(app)
        except Unavailable as error:
            if self._reached:
                log.warning("scheduler waits for a backing service", extra={"error": str(error)})
            self._reached = False
        except Exception:  # a fault of ours: /health shows one that stays
            log.exception("scheduler stumbled")
            return RETRY_SECONDS
        else:
            self._reached = True
            self._is_ready = self._is_ready or not await app.upkeep.broken()
        self._ticked_at = now()
        return TICK_SECONDS if self._reached else RETRY_SECONDS

    def _tell_standing(self, reports: PostgresReports) -> None:
        """In /metrics, from the thread that serves it."""
        loop = asyncio.get_running_loop()
        quiet = max(STALLED_SECONDS, 2 * self._settings.model_timeout)
        work = standing.on(loop, lambda: reports.work(stalled=quiet))
        census = standing.on(loop, reports.census)
        dead = standing.on(loop, reports.dead_letters)
        self._metrics.registry.register(standing.Standing(work, census, dead))

    async def _leads(self, app: App) -> bool:
        try:
            leads = await app.leader.leads()
        except Unavailable:
            self._metrics.leader.set(0)
            raise
        self._metrics.leader.set(leads)
        if leads and not self._due:
            crontabs = self._crontabs.items()
            self._due = {job: _next(by, await app.jobs.last_run(job)) for job, by in crontabs}
            log.info("scheduler leads")
        elif not leads:
            self._due = {}
        return leads

    async def _start_due(self, app: App) -> None:
        """Queue what is due, then note it: a crash in between starts a job twice, never none."""
        for job in [job for job, due in self._due.items() if due <= now()]:
            if schedule := self._schedules.get(job):
                await _begin(app, schedule, self._due[job])
            else:
                await app.service.queue.send(job, lane=self._settings.lane)
            await app.jobs.record(job, ran_at=now())
            self._due[job] = _next(self._crontabs[job], now())
            log.info("job started", extra={"job": job, "next": self._due[job].isoformat()})

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _health(self) -> dict[str, str] | None:
        stuck = (now() - self._ticked_at).total_seconds() > STUCK_SECONDS
        return None if stuck else about().health()


def _next(by: crontab, last_run: datetime) -> datetime:
    """The same in each process that knows of the same last run."""
    began, wait, _ = by.remaining_delta(last_run)
    due: datetime = began + wait
    return due


async def _begin(app: App, schedule: Schedule, due: datetime) -> None:
    """One that can't be begun holds up no other."""
    try:
        await app.channels.begin(schedule, due=due)
    except Unavailable:
        raise
    except AppError as error:
        log.error("schedule not begun", extra={"cron": schedule.cron, "error": str(error)})  # noqa: TRY400


def _crontab(cron: str) -> crontab:
    minute, hour, day, month, weekday = cron.split()
    return crontab(minute, hour, weekday, day, month, nowfun=now)

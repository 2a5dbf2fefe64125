"""Settings become a running service: the only module that knows the concrete classes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from . import agents
from .about import about
from .adapters.celery import CeleryQueue, make_celery
from .adapters.embedded import SCHEME, Embedded, resolve
from .adapters.ledger import PostgresLedger
from .adapters.live import PostgresLive
from .adapters.postgres import Postgres, PostgresJobs, PostgresLeader, PostgresSchema
from .adapters.processes import PostgresProcesses
from .adapters.reports import PostgresReports
from .adapters.sessions import PostgresSessions
from .agent.acts import Events
from .agent.definition import Agent
from .agent.session import Thread
from .ledger import World
from .ports import Queue
from .service import Service
from .settings import Settings
from .upkeep import Upkeep

if TYPE_CHECKING:
    from celery import Celery

    from .adapters.schema import Schema
    from .engine import Engine


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class App:
    service: Service
    upkeep: Upkeep
    jobs: PostgresJobs
    leader: PostgresLeader
    processes: PostgresProcesses
    reports: PostgresReports
    closing: AsyncExitStack


@asynccontextmanager
async def running(
    settings: Settings, process: str, *, queue: Queue | None = None
) -> AsyncIterator[App]:
    """Everything that a process of this service needs, opened, and closed at the end."""
    application = f"{about().slug}:{process}"
    database_url = resolve(settings.database_url.get_secret_value())
    direct_url = resolve(settings.direct_url.get_secret_value())
    database = Postgres(
        database_url, pool_size=settings.database_pool_size, application=application
    )
    broker = CeleryQueue(settings.broker_url.get_secret_value(), database_url=database_url)
    leader = PostgresLeader(direct_url, application=application)
    live = PostgresLive(direct_url, application=application)
    processes = PostgresProcesses(
        database,
        direct_url,
        application=application,
        about={"kind": process, "release": settings.release, "lane": settings.lane},
    )
    service = Service(
        sessions=PostgresSessions(database),
        queue=queue or broker,
        live=live,
        agents=_agents(settings, World(ledger=PostgresLedger(database), clock=now)),
        clock=now,
        default_agent=settings.default_agent,
        prompt_version=settings.prompt_version,
        lane=settings.lane,
    )
    upkeep = Upkeep(
        service=service,
        processes=processes,
        backing=(database, PostgresSchema(database), broker),
        retention=timedelta(days=settings.retention_days),
    )
    async with AsyncExitStack() as closing:  # the last first
        for close in (database.close, live.close, leader.close, processes.close):
            closing.push_async_callback(close)
        closing.callback(broker.close)
        await database.open()
        await live.open()
        yield App(
            service=service,
            upkeep=upkeep,
            jobs=PostgresJobs(database),
            leader=leader,
            processes=processes,
            reports=PostgresReports(database),
            closing=closing,
        )


def engine(settings: Settings, app: App, *, on_step: Callable[[Thread, Events], None]) -> "Engine":
    """What works on sessions. Only here is a model made: it is what a worker weighs."""
    from .adapters.runtime import make_model
    from .engine import Engine

    service, model = app.service, make_model(settings)
    app.closing.push_async_callback(model.close)
    return Engine(
        sessions=service.sessions,
        queue=service.queue,
        live=service.live,
        agents=service.agents,
        model=model,
        clock=now,
        owner=lambda: app.processes.id,
        context_tokens=settings.context_tokens,
        decision_time=timedelta(days=settings.decision_days),
        on_step=on_step,
    )


def worker_celery(settings: Settings) -> "Celery":
    return make_celery(
        settings.broker_url.get_secret_value(),
        database_url=resolve(settings.database_url.get_secret_value()),
        lane=settings.lane,
        concurrency=settings.worker_concurrency,
    )


def embedded_database(settings: Settings) -> Embedded | None:
    """The database that `up` runs itself, if DATABASE_URL names that one."""
    url = settings.database_url.get_secret_value()
    return Embedded.at(url) if url.startswith(SCHEME) else None


def schema(settings: Settings) -> "Schema":
    from .adapters.schema import Schema

    return Schema(resolve(settings.direct_url.get_secret_value()))


def _agents(settings: Settings, world: World) -> dict[str, Agent]:
    found = agents.load(world)
    if (steps := settings.agent_max_steps) is None:
        return found
    return {
        name: replace(agent, limits=replace(agent.limits, steps=steps))
        for name, agent in found.items()
    }

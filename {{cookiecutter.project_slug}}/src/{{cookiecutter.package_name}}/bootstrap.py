"""Settings become a running service: the only module that knows the concrete classes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from .about import about
from .adapters.celery import CeleryQueue, make_celery
from .adapters.embedded import SCHEME, Embedded, resolve
from .adapters.postgres import (
    Postgres,
    PostgresChecks,
    PostgresJobs,
    PostgresLeader,
    PostgresSchema,
)
from .agent.ports import Jobs, Leader, Queue
from .service import Service
from .settings import Settings

if TYPE_CHECKING:
    from celery import Celery

    from .adapters.schema import Schema


@dataclass(frozen=True, kw_only=True)
class App:
    service: Service
    jobs: Jobs
    leader: Leader


@asynccontextmanager
async def running(
    settings: Settings, process: str, *, queue: Queue | None = None
) -> AsyncIterator[App]:
    """Everything that a process of this service needs, opened, and closed at the end."""
    application = f"{about().slug}:{process}"
    database_url = resolve(settings.database_url.get_secret_value())
    database = Postgres(
        database_url, pool_size=settings.database_pool_size, application=application
    )
    broker = CeleryQueue(settings.broker_url.get_secret_value(), database_url=database_url)
    leader = PostgresLeader(
        resolve(settings.direct_url.get_secret_value()), application=application
    )
    service = Service(
        checks=PostgresChecks(database),
        queue=queue or broker,
        backing=(database, PostgresSchema(database), broker),
        retention=timedelta(days=settings.retention_days),
    )
    await database.open()
    try:
        yield App(service=service, jobs=PostgresJobs(database), leader=leader)
    finally:
        await leader.close()
        broker.close()
        await database.close()


def worker_celery(settings: Settings) -> "Celery":
    return make_celery(
        settings.broker_url.get_secret_value(),
        database_url=resolve(settings.database_url.get_secret_value()),
        concurrency=settings.worker_concurrency,
    )


def embedded_database(settings: Settings) -> Embedded | None:
    """The database that `up` runs itself, if DATABASE_URL names that one."""
    url = settings.database_url.get_secret_value()
    return Embedded.at(url) if url.startswith(SCHEME) else None


def schema(settings: Settings) -> "Schema":
    from .adapters.schema import Schema

    return Schema(resolve(settings.direct_url.get_secret_value()))

"""Settings become a running service: the only module that knows the concrete classes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from . import agents
from .about import about
from .adapters.allowances import PostgresAllowances
from .adapters.cache import PostgresCache, RedisCache
from .adapters.celery import CeleryQueue, make_celery
from .adapters.embedded import SCHEME, Embedded, resolve
from .adapters.figures import PostgresFigures
from .adapters.keys import PostgresKeys
from .adapters.ledger import PostgresLedger
from .adapters.live import PostgresLive
from .adapters.postgres import Postgres, PostgresSchema
from .adapters.processes import PostgresProcesses
from .adapters.recipients import PostgresRecipients
from .adapters.releases import PostgresReleases
from .adapters.reports import PostgresReports
from .adapters.schedule import PostgresJobs, PostgresLeader
from .adapters.sessions import PostgresSessions
from .adapters.slow import note_slow_calls
from .adapters.terms import Terms
from .agent.acts import Events
from .agent.definition import Agent
from .agent.session import Thread
from .cache import Cached
from .channels import Channels
from .deliverer import Deliverer
from .ledger import World
from .ports import Allowance, Queue, Witness
from .service import Service
from .settings import Settings, listed
from .signatures import keys_for
from .telemetry.spans import Tracer, caller, traceparent
from .telemetry.traced import TracedModel, TracedQueue, trace_slices, trace_tools
from .upkeep import Upkeep
from .ways import make_ways

if TYPE_CHECKING:
    from celery import Celery
    from httpx2 import AsyncClient

    from .adapters.archive import Archive
    from .adapters.schema import Schema
    from .engine import Engine


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class App:
    service: Service
    upkeep: Upkeep
    channels: Channels
    deliverer: Deliverer
    jobs: PostgresJobs
    leader: PostgresLeader
    processes: PostgresProcesses
    reports: PostgresReports
    releases: PostgresReleases
    keys: PostgresKeys
    allowances: PostgresAllowances
    figures: PostgresFigures
    tracer: Tracer | None
    closing: AsyncExitStack


@asynccontextmanager
async def running(
    settings: Settings,
    process: str,
    *,
    queue: Queue | None = None,
    tracer: Tracer | None = None,
    witness: Witness | None = None,
) -> AsyncIterator[App]:
    """Everything that a process of this service needs, opened, and closed at the end."""
    closing = AsyncExitStack()  # the last first
    application = f"{about().slug}:{process}"
    database_url = resolve(settings.database_url.get_secret_value())
    direct_url = resolve(settings.direct_url.get_secret_value())
    terms = _terms(settings, is_pooled=database_url != direct_url)
    database = Postgres(
        database_url, pool_size=settings.database_pool_size, application=application, terms=terms
    )
    broker = CeleryQueue(
        settings.broker_url.get_secret_value(),
        database_url=direct_url,
        headers=caller if tracer else dict,
        slow_seconds=terms.slow_seconds,
    )
    leader = PostgresLeader(direct_url, application=application)
    live = PostgresLive(direct_url, application=application)
    processes = PostgresProcesses(
        database,
        direct_url,
        application=application,
        about={"kind": process, "release": settings.release, "lane": settings.lane},
    )
    cache = _cache(settings, database)
    world = World(
        ledger=PostgresLedger(database),
        clock=now,
        cached=Cached(cache, settings.cache_ttl),
        open_http=_http(settings, closing),
    )
    service = Service(
        sessions=PostgresSessions(database),
        queue=TracedQueue(queue or broker, tracer) if tracer else queue or broker,
        live=live,
        agents=_agents(settings, world),
        clock=now,
        default_agent=settings.default_agent,
        prompt_version=settings.prompt_version,
        lane=settings.lane,
        four_eyes=settings.approval_four_eyes,
        trace=traceparent,
        on_append=witness.note if witness else Service.on_append,
    )
    upkeep = Upkeep(
        service=service,
        processes=processes,
        backing=(database, PostgresSchema(database), broker),
        retention=timedelta(days=settings.retention_days),
        cache=cache,
    )
    channels = Channels(
        service=service,
        recipients=PostgresRecipients(database),
        keys=keys_for("decisions", settings),
        approvals_to=listed(settings.approvals_to),
    )
    deliverer = Deliverer(
        channels=channels,
        ways=make_ways(settings, world),
        queue=service.queue,
        owner=lambda: processes.id,
        public_url=settings.public_url,
    )
    async with closing:
        closing.push_async_callback(deliverer.close)
        if tracer:
            closing.callback(tracer.close)
        for close in (database.close, cache.close, live.close, leader.close, processes.close):
            closing.push_async_callback(close)
        closing.callback(broker.close)
        await database.open()
        await live.open()
        yield App(
            service=service,
            upkeep=upkeep,
            channels=channels,
            deliverer=deliverer,
            jobs=PostgresJobs(database),
            leader=leader,
            processes=processes,
            reports=PostgresReports(database),
            releases=PostgresReleases(database),
            keys=PostgresKeys(database, default=_allowance(settings)),
            allowances=PostgresAllowances(database),
            figures=PostgresFigures(database),
            tracer=tracer,
            closing=closing,
        )


def engine(settings: Settings, app: App, *, witness: Witness) -> "Engine":
    """What works on sessions. Only here is a model made: it is what a worker weighs."""
    from .adapters.runtime import make_model
    from .engine import Engine

    def stored(before: Thread, events: Events) -> None:
        note_slow_calls(before, events, limit=settings.slow_call_seconds)
        witness.note_step(before, events)

    service, model = app.service, make_model(settings)
    model.on_failure = witness.note_failure
    app.closing.push_async_callback(model.close)
    made = Engine(
        sessions=service.sessions,
        queue=service.queue,
        live=service.live,
        agents=service.agents,
        model=model,
        clock=now,
        owner=lambda: app.processes.id,
        context_tokens=settings.context_tokens,
        decision_time=timedelta(days=settings.decision_days),
        on_step=stored,
        on_interruption=witness.note_interruption,
    )
    if tracer := app.tracer:
        model.models = [TracedModel(one, tracer) for one in model.models]
        made.agents = trace_tools(made.agents, tracer)
        made.slice_span = trace_slices(tracer)
    return made


def make_tracer(settings: Settings, process: str) -> Tracer | None:
    """What this process records its spans with; nothing of it is imported where it has none."""
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    from .telemetry import otlp

    return otlp.make_tracer(settings, process)


def worker_celery(settings: Settings) -> "Celery":
    return make_celery(
        settings.broker_url.get_secret_value(),
        database_url=resolve(settings.direct_url.get_secret_value()),
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


def _http(settings: Settings, closing: AsyncExitStack) -> Callable[[], "AsyncClient"]:
    """Opened by the first tool that wants it: most processes never do."""

    def opened() -> "AsyncClient":
        from .adapters.outbound import make_http

        client = make_http(settings.outbound_allow)
        closing.push_async_callback(client.aclose)
        return client

    return opened


def _cache(settings: Settings, database: Postgres) -> PostgresCache | RedisCache:
    if settings.cache_url is None:
        return PostgresCache(database)
    return RedisCache(settings.cache_url.get_secret_value(), prefix=f"{about().slug}:")


def _terms(settings: Settings, *, is_pooled: bool) -> Terms:
    return Terms(
        prepare=settings.database_prepare,
        is_pooled=is_pooled,
        wait_seconds=settings.database_pool_wait,
        idle_seconds=settings.database_pool_idle,
        lifetime_seconds=settings.database_pool_lifetime,
        statement_seconds=settings.database_statement_timeout,
        slow_seconds=settings.slow_query_ms / 1000,
    )


def archive(settings: Settings) -> "Archive":
    from .adapters.archive import Archive

    return Archive(resolve(settings.direct_url.get_secret_value()), release=settings.release)


def _agents(settings: Settings, world: World) -> dict[str, Agent]:
    found = agents.load(world)
    if (steps := settings.agent_max_steps) is None:
        return found
    return {
        name: replace(agent, limits=replace(agent.limits, steps=steps))
        for name, agent in found.items()
    }


def _allowance(settings: Settings) -> Allowance:
    """Of a key that says nothing of its own."""
    return Allowance(
        requests=settings.key_requests,
        sessions=settings.key_sessions,
        tokens=settings.key_tokens,
        cost=settings.key_cost,
    )

"""The probes: is it alive, can it serve, what has it counted."""

from datetime import datetime
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from ...about import about
from ...channels import Channels
from ...service import Service
from ...telemetry.metrics import CONTENT_TYPE, Metrics
from ...upkeep import Upkeep
from .problems import responses

AWAY = "away: /ready?full=true says why"
router = APIRouter(responses=responses(431, 500))


async def _service(request: Request) -> Service:
    return cast("Service", request.state.service)


async def _channels(request: Request) -> Channels:
    return cast("Channels", request.state.channels)


async def _upkeep(request: Request) -> Upkeep:
    return cast("Upkeep", request.state.upkeep)


async def _metrics(request: Request) -> Metrics:
    return cast("Metrics", request.app.state.metrics)


ServiceDep = Annotated[Service, Depends(_service)]
ChannelsDep = Annotated[Channels, Depends(_channels)]
UpkeepDep = Annotated[Upkeep, Depends(_upkeep)]


class Health(BaseModel):
    status: Literal["healthy"]
    version: str
    timestamp: datetime


class Living(BaseModel):
    """A process of the service that holds work, or leads."""

    kind: str
    name: str
    release: str
    lane: str
    started_at: datetime


class Readiness(BaseModel):
    status: Literal["ready", "not ready"]
    services: dict[str, str]
    """Each backing service by name: `ok`, or that it is away; with `full`, why."""
    processes: list[Living] | None = None
    """Who lives, where that was asked for and can be known."""


@router.get("/health", tags=["probes"])
async def health() -> Health:
    """Alive. Touches nothing outside the process."""
    return Health.model_validate(about().health())


@router.get(
    "/ready",
    tags=["probes"],
    responses=responses(422) | {503: {"model": Readiness}},
    response_model_exclude_none=True,
)
async def ready(upkeep: UpkeepDep, response: Response, *, full: bool = False) -> Readiness:
    """Able to serve: database and broker were asked just now and answered in time.

    With `full`, which no proxy should let pass from outside, also why not, and who lives.
    """
    faults = await upkeep.faults()
    failing = any(faults.values())
    response.status_code = 503 if failing else 200
    services = {
        name: (fault if full else AWAY) if fault else "ok" for name, fault in faults.items()
    }
    status: Literal["ready", "not ready"] = "not ready" if failing else "ready"
    if not full or failing:
        return Readiness(status=status, services=services)
    alive = [Living.model_validate(known) for known in await upkeep.processes.alive()]
    return Readiness(status=status, services=services, processes=alive)


@router.get(
    "/metrics",
    tags=["probes"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
async def metrics(metrics: Annotated[Metrics, Depends(_metrics)]) -> Response:
    """Prometheus text format."""
    return Response(metrics.render(), media_type=CONTENT_TYPE)

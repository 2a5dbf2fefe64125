"""The HTTP API. Each route is a use case and its shape, nothing more."""

from datetime import datetime
from typing import Annotated, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from ...about import about
from ...agent.ports import Check
from ...service import Service
from ...telemetry.metrics import CONTENT_TYPE, Metrics
from .problems import responses

router = APIRouter(responses=responses(500))


def _service(request: Request) -> Service:
    return cast("Service", request.state.service)


def _metrics(request: Request) -> Metrics:
    return cast("Metrics", request.app.state.metrics)


ServiceDep = Annotated[Service, Depends(_service)]


class Health(BaseModel):
    status: Literal["healthy"]
    version: str
    timestamp: datetime


class Readiness(BaseModel):
    status: Literal["ready", "not ready"]
    services: dict[str, str]
    """Each backing service by name: `ok`, or what is wrong with it."""


class CheckState(BaseModel):
    id: UUID
    status: Literal["asked", "answered"]
    asked_at: datetime
    answered_at: datetime | None
    answered_by: str | None

    @classmethod
    def of(cls, check: Check) -> "CheckState":
        status = "answered" if check.answered_at else "asked"
        return cls(status=status, **vars(check))


@router.get("/health", tags=["probes"])
async def health() -> Health:
    """Alive. Touches nothing outside the process."""
    return Health.model_validate(about().health())


@router.get("/ready", tags=["probes"], responses={503: {"model": Readiness}})
async def ready(service: ServiceDep, response: Response) -> Readiness:
    """Able to serve: database and broker were asked just now and answered in time."""
    faults = await service.faults()
    failing = any(faults.values())
    response.status_code = 503 if failing else 200
    services = {name: fault or "ok" for name, fault in faults.items()}
    return Readiness(status="not ready" if failing else "ready", services=services)


@router.get(
    "/metrics",
    tags=["probes"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
async def metrics(metrics: Annotated[Metrics, Depends(_metrics)]) -> Response:
    """Prometheus text format."""
    return Response(metrics.render(), media_type=CONTENT_TYPE)


@router.post("/checks", status_code=202, tags=["checks"], responses=responses(503))
async def ask(service: ServiceDep, response: Response) -> CheckState:
    """Ask a worker for a sign of life, by the way that all work takes: row, broker, worker, row."""
    check = await service.ask()
    response.headers["Location"] = f"/checks/{check.id}"
    return CheckState.of(check)


@router.get("/checks/{check_id}", tags=["checks"], responses=responses(404, 422, 503))
async def read(service: ServiceDep, check_id: UUID) -> CheckState:
    """The check, answered or not yet."""
    return CheckState.of(await service.read(check_id))

"""The deployment ledger: the business that this service starts with, and what tools may reach."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A line of the deployment ledger."""

    id: int
    version: str
    environment: str
    status: str
    started_at: datetime
    completed_at: datetime | None = None
    deployed_by: str = ""
    commit: str = ""
    rollback_of: int | None = None


class Ledger(Protocol):
    """Who deployed what, where, when, and what came of it."""

    async def recent(self, environment: str | None = None, *, limit: int) -> list[Deployment]: ...
    async def get(self, deployment_id: int) -> Deployment | None: ...

    async def record(self, *, key: str, **deployment: Any) -> Deployment:
        """A new line; for a key that is known, the line that it made."""

    async def complete(self, deployment_id: int, *, status: str) -> Deployment: ...


@dataclass(frozen=True)
class World:
    """What an agent's tools may reach."""

    ledger: Ledger
    clock: Callable[[], datetime] = field(repr=False)

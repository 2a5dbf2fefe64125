"""The deployment ledger: the business that this service starts with, and what tools may reach."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from .cache import Cached

if TYPE_CHECKING:
    from httpx2 import AsyncClient


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
    image: str = ""
    """Its digest."""
    config: str = ""
    """A hash of the configuration that it ran with: a release is both, and changes with both."""
    committed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Release:
    """What is deployed: the same in every environment, but for its configuration."""

    version: str
    environment: str
    image: str
    config: str
    commit: str


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
    cached: Cached = field(repr=False)
    """`@world.cached(seconds=60)` over an `async def` keeps what it returns, for all processes."""
    open_http: Callable[[], "AsyncClient"] = field(repr=False)

    @cached_property
    def http(self) -> "AsyncClient":
        """For any URL: it asks the public web, and inside only what OUTBOUND_ALLOW names."""
        return self.open_http()

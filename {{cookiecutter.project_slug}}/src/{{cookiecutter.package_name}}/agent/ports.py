"""What the service needs from outside, as Protocols: the only interface to the adapters."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True)
class Check:
    """A question to the worker whose answer proves the whole way there and back."""

    id: UUID
    asked_at: datetime
    answered_at: datetime | None = None
    answered_by: str | None = None


class Checks(Protocol):
    """The checks, in a store that survives every process."""

    async def add(self) -> Check: ...
    async def get(self, check_id: UUID) -> Check | None: ...
    async def answer(self, check_id: UUID, *, by: str) -> Check | None: ...
    async def claim_stale(self, *, limit: int) -> list[UUID]: ...
    async def forget(self, *, older_than: timedelta) -> int: ...


class Queue(Protocol):
    """Carries a task to a worker, at least once; the store knows what is really to do."""

    async def send(self, task: str, **arguments: str) -> None: ...


class Jobs(Protocol):
    """When each periodic job last ran."""

    async def last_run(self, job: str) -> datetime: ...
    async def record(self, job: str, *, ran_at: datetime) -> None: ...


class Leader(Protocol):
    """Elects the one scheduler that acts."""

    async def leads(self) -> bool: ...
    async def close(self) -> None: ...


class Backing(Protocol):
    """A backing service that can be asked whether it answers."""

    name: str

    async def ping(self) -> None: ...

"""What the service needs from outside, as Protocols: the only interface to the adapters."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from .events import AnyEvent, Usage
from .session import Status, Thread


@dataclass(frozen=True)
class Said:
    """By the user, or by the service in the user's place."""

    text: str


@dataclass(frozen=True)
class Wanted:
    """A tool call as the model made it; text where its arguments were no JSON object."""

    tool: str
    arguments: dict[str, Any] | str
    id: str = ""


@dataclass(frozen=True)
class Replied:
    """By the model."""

    text: str
    calls: tuple[Wanted, ...] = ()


@dataclass(frozen=True)
class Result:
    """What came of a call of the Replied before it."""

    call_id: str
    tool: str
    text: str


Message = Said | Replied | Result


@dataclass(frozen=True)
class Offer:
    """A tool as the model sees it."""

    name: str
    description: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class Request:
    """Exactly what the model sees, whatever the provider."""

    instructions: str
    messages: tuple[Message, ...]
    tools: tuple[Offer, ...] = ()
    must_call: bool = False
    """Text alone is no answer: one of the tools has to be called."""


@dataclass(frozen=True)
class Answer:
    text: str
    calls: tuple[Wanted, ...]
    usage: Usage
    model: str


class Model(Protocol):
    """Answers within its time, retries and fallbacks included, or raises ModelError."""

    async def answer(self, request: Request, *, on_text: Callable[[str], None]) -> Answer: ...


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A session in a list."""

    id: str
    agent: str
    status: Status
    title: str
    prompt: str
    lane: str
    tokens: int
    cost: Decimal
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """An event in its place."""

    seq: int
    event: AnyEvent
    key: str | None = None


class Sessions(Protocol):
    """Sessions and their events, in a store that survives every process."""

    async def start(
        self,
        thread: Thread,
        *,
        metadata: dict[str, Any],
        parent: str | None = None,
        lane: str = "default",
    ) -> None: ...

    async def load(self, session_id: str) -> Thread | None:
        """The thread, with the events since its last compaction."""

    async def append(self, thread: Thread, *events: AnyEvent, key: str | None = None) -> bool:
        """False where another was quicker, or the key is known: load again and look."""

    async def claim(self, session_id: str, *, owner: int) -> Thread | None:
        """The thread, leased to this process; None where nothing is to do, or another does it."""

    async def commit(
        self,
        thread: Thread,
        events: Sequence[AnyEvent],
        *,
        owner: int,
        release: bool,
        wake_at: datetime | None = None,
    ) -> bool:
        """Appends what the owner of the lease did; False where the lease or the place is lost."""

    async def held(self, session_id: str, *, owner: int) -> Thread | None:
        """The thread as it is now, if this process still has it."""

    async def release(self, session_id: str, *, owner: int, wake_in: timedelta) -> None: ...

    async def claim_stale(self, *, limit: int) -> list[tuple[str, str]]:
        """Sessions with work to do that nobody does, as (id, lane): to be queued again."""

    async def claim_overdue(self, *, limit: int) -> list[str]:
        """Sessions whose decision nobody took in time."""

    async def claim_poisonous(self, *, attempts: int, limit: int) -> list[str]:
        """Sessions that were begun this often and came to nothing."""

    async def find(self, session_id: str, key: str) -> Stored | None: ...
    async def events(self, session_id: str, *, after: int, limit: int) -> list[Stored]: ...
    async def summary(self, session_id: str) -> Summary | None: ...

    async def list(
        self,
        *,
        status: Status | None,
        agent: str | None,
        before: tuple[datetime, str] | None,
        limit: int,
    ) -> list[Summary]: ...

    async def delete(self, session_id: str) -> bool: ...
    async def forget(self, *, older_than: timedelta) -> int: ...


class Processes(Protocol):
    """The processes that hold leases. One that dies is seen at once, one that vanishes in 5 s."""

    async def beat(self) -> int:
        """This process's id, its lease renewed."""

    async def bury(self) -> int:
        """Frees what dead processes held; how many there were."""

    async def alive(self) -> list[dict[str, Any]]: ...


class Queue(Protocol):
    """Carries a task to a worker, at least once; the store knows what is really to do."""

    async def send(self, task: str, *, lane: str = "default", **arguments: str) -> None: ...


class Live(Protocol):
    """What happens, told to whoever watches, as it happens. Losing some of it loses nothing."""

    def tell(self, session_id: str, seq: int) -> None: ...
    def token(self, session_id: str, text: str) -> None: ...

    def wake(self) -> None:
        """Everyone who watches in this process looks at the store."""

    def watch(self, session_id: str) -> AbstractAsyncContextManager["Watch"]: ...


@dataclass(frozen=True)
class News:
    """Text that the model is saying, or the number of the newest event; neither: look yourself."""

    seq: int = 0
    text: str = ""


class Watch(Protocol):
    async def next(self, seconds: float) -> News | None:
        """None when there were none in this time."""


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

    async def complete(self, deployment_id: int, *, key: str, status: str) -> Deployment: ...


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What happened in all sessions between two moments."""

    sessions: dict[str, dict[Status, int]]
    """Agent → status now → how many of those in which something happened."""
    events: dict[str, int]
    """How often, by kind."""
    tokens: int
    cost: Decimal


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How many sessions go on only when somebody does something."""

    stuck: int
    """Ready, and in no worker's hands."""
    overdue: int
    """Waiting for a decision whose time is over."""
    paused: int
    waiting: int


class Reports(Protocol):
    """What operators ask about all sessions at once."""

    async def activity(self, since: datetime, until: datetime) -> Activity: ...

    async def standing(self, *, seconds: float) -> Standing:
        """Stuck and overdue are those that have been so for more than these seconds."""

    async def scheduler_leads(self) -> bool: ...

    async def seed_ledger(self, lines: Sequence[Deployment], *, key: str) -> int:
        """Fills a ledger that is empty, once for a key; how many lines it has written."""


@dataclass(frozen=True)
class World:
    """What an agent's tools may reach."""

    ledger: Ledger
    clock: Callable[[], datetime] = field(repr=False)

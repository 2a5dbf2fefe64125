"""What the service needs from outside, as Protocols: the only interface to the adapters."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from .agent.events import AnyEvent
from .agent.history import Stored
from .agent.session import Status, Thread
from .ledger import Deployment

Scope = Literal["chat", "approve", "admin"]


class Allowance(BaseModel):
    """What a key may do; None: as the service's settings say, 0: without a limit."""

    model_config = ConfigDict(frozen=True)

    requests: int | None = Field(None, ge=0)
    """In a minute."""
    sessions: int | None = Field(None, ge=0)
    """At work at a time."""
    tokens: int | None = Field(None, ge=0)
    """In a day, which begins at 0:00 UTC."""
    cost: Decimal | None = Field(None, ge=0)
    """US dollars in a day."""

    def over(self, default: "Allowance") -> "Allowance":
        return default.model_copy(update=self.model_dump(exclude_none=True))


@dataclass(frozen=True)
class Whose:
    """To whom a session belongs, and the key that it is paid by; without one, the operator's."""

    owner: str = "default"
    key_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks: sessions belong to the owner, deeds are the key's."""

    key_id: int
    name: str
    owner: str
    scopes: frozenset[str]
    allowance: Allowance

    @property
    def whose(self) -> Whose:
        return Whose(self.owner, self.key_id)


class Identity(Protocol):
    async def who(self, credential: str) -> Caller | None: ...

    def mark(self, credential: str) -> str:
        """What names a credential, and can't be used as one."""

    async def marked(self, mark: str) -> Caller | None:
        """Whose it is that is named so, as long as it is good."""


class Allowances(Protocol):
    """What is taken here is taken in all processes; TooMany where there is nothing left."""

    async def take_request(self, caller: Caller) -> None: ...
    async def take_message(self, caller: Caller) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A session in a list."""

    id: str
    owner: str
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


class Sessions(Protocol):
    """Sessions and their events, in a store that survives every process."""

    async def start(  # noqa: PLR0913
        self,
        thread: Thread,
        events: Sequence[AnyEvent],
        *,
        metadata: dict[str, Any],
        whose: Whose,
        parent: str | None = None,
        key: str | None = None,
    ) -> bool:
        """False with one that is known: nothing is stored. The key is that of the message in it."""

    async def belongs(self, session_id: str, *, owner: str) -> bool:
        """Whether it is this owner's, and so for good; of another's is said no sooner that it is
        not than of one that there never was.
        """

    async def load(self, session_id: str) -> Thread | None:
        """The thread, with the events since its last compaction."""

    async def append(
        self,
        thread: Thread,
        *events: AnyEvent,
        key: str | None = None,
        payer: int | None = None,
    ) -> bool:
        """False where another was quicker, or the key is known: load again and look.

        The payer is the API key that what comes of it is charged to, from now on.
        """

    async def claim(self, session_id: str, *, owner: int) -> Thread | None:
        """The thread, leased to this process; None where nothing is to do, or another does it."""

    async def commit(
        self,
        after: Thread,
        events: Sequence[AnyEvent],
        *,
        owner: int,
        release: bool,
        wake_at: datetime | None = None,
    ) -> bool:
        """Appends what led to `after`; False where the lease or the place is lost."""

    async def held(self, session_id: str, *, owner: int) -> Thread | None:
        """The thread as it is now, if this process still has it."""

    async def release(
        self, session_id: str, *, owner: int, wake_in: timedelta, blameless: bool
    ) -> None:
        """Lets it go, to be taken up no sooner; blameless where the session is not at fault."""

    async def claim_stale(self, *, limit: int) -> list[tuple[str, str]]:
        """Sessions with work to do that nobody does, as (id, lane): to be queued again."""

    async def put_back(self, ids: Sequence[str]) -> None:
        """What was claimed as stale and could not be queued: it is still."""

    async def overdue(self, *, limit: int) -> list[str]:
        """Sessions whose decision nobody took in time."""

    async def poisonous(self, *, attempts: int, limit: int) -> list[str]:
        """Sessions that were begun this often and came to nothing."""

    async def find(self, session_id: str, key: str) -> Stored | None: ...
    async def events(self, session_id: str, *, after: int, limit: int) -> list[Stored]: ...
    async def summary(self, session_id: str) -> Summary | None: ...

    async def list(
        self,
        *,
        owner: str | None,
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


@dataclass
class Day:
    """What became of the sessions that were started on it, in UTC."""

    day: date
    outcomes: dict[Status, int] = field(default_factory=dict)
    tokens: int = 0
    cost: Decimal = Decimal(0)
    usual_seconds: float = 0
    """Half of the model's calls took no longer,"""
    slow_seconds: float = 0
    """and of twenty nineteen."""


class Figures(Protocol):
    """What people look at: of one owner's sessions, or of what the service does for all."""

    async def waiting(self, owner: str) -> int:
        """How many sessions wait for a person; of very many a hundred are counted."""

    async def asked(
        self, owner: str, *, after: tuple[datetime, str] | None, limit: int
    ) -> list[Summary]:
        """Those sessions: a decision is pending, or a budget is spent. The oldest first."""

    async def said(
        self, session_id: str, *, kinds: Collection[str], before: int, limit: int
    ) -> list[Stored]:
        """The last events of these kinds before a place, in their order; no calls of tools that
        ask nobody.
        """

    async def links(self, session_id: str) -> tuple[str | None, Sequence[str]]:
        """The session that it was forked from, and its own newest forks."""

    async def days(self, owner: str, *, since: date) -> list[Day]: ...

    async def work(self, *, stalled: float) -> list[dict[str, Any]]:
        """A row for each lane: what waits for a worker, for how long, and the workers."""

    async def ledger(self, *, limit: int) -> list[Deployment]: ...


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


class Witness(Protocol):
    """Is told what happens, and counts it."""

    def note(self, before: Thread, events: Sequence[AnyEvent]) -> None:
        """What was stored, whoever stored it, and the session before."""

    def note_step(self, before: Thread, events: Sequence[AnyEvent]) -> None:
        """The same, of a worker's step."""

    def note_interruption(self, why: str) -> None:
        """A session was let go in the middle of its work."""

    def note_failure(self, model: str) -> None:
        """One try of a model came to nothing; another may still answer."""


class Backing(Protocol):
    """A backing service that can be asked whether it answers."""

    name: str

    async def ping(self) -> None: ...

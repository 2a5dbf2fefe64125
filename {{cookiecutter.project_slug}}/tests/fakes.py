"""The ports of the service in memory, each as small as its Protocol."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self, cast

from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.events import AnyEvent, ToolRequested, Usage, UserSpoke
from {{ cookiecutter.package_name }}.agent.history import Stored
from {{ cookiecutter.package_name }}.agent.ports import Answer, Replied, Request
from {{ cookiecutter.package_name }}.agent.session import Status, Thread
from {{ cookiecutter.package_name }}.channels import Address, Channel, Channels, Recipient
from {{ cookiecutter.package_name }}.deliverer import Deliverer
from {{ cookiecutter.package_name }}.errors import NotFound, TooMany, Unavailable
from {{ cookiecutter.package_name }}.ledger import Deployment
from {{ cookiecutter.package_name }}.ports import (
    Allowance,
    Backing,
    Caller,
    Day,
    News,
    Processes,
    Summary,
    Whose,
)
from {{ cookiecutter.package_name }}.service import Service
from {{ cookiecutter.package_name }}.upkeep import Upkeep


class FakeQueue:
    def __init__(self, *, is_down: bool = False) -> None:
        self.is_down = is_down
        self.sent: list[tuple[str, dict[str, str]]] = []

    async def send(self, task: str, *, lane: str = "default", **arguments: str) -> None:
        if self.is_down:
            raise Unavailable("the broker does not answer")
        self.sent.append((task, {"lane": lane, **arguments}))


class FakeBacking:
    def __init__(self, name: str, *, fault: Exception | None = None) -> None:
        self.name = name
        self.fault = fault

    async def ping(self) -> None:
        if self.fault:
            raise self.fault


class FakeSessions:
    """Rows, leases and keys in memory, fenced as the real ones are."""

    def __init__(self) -> None:
        self.threads: dict[str, Thread] = {}
        self.stored: dict[str, list[Stored]] = {}
        self.owners: dict[str, int] = {}
        self.wakes: dict[str, datetime | None] = {}
        self.summaries: dict[str, Summary] = {}
        self.stale: list[tuple[str, str]] = []
        self.late: list[str] = []
        self.poison: list[str] = []
        self.back: list[str] = []
        self.before_commit: Callable[[str], Awaitable[object]] | None = None

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
        if thread.id in self.threads:
            return False
        now = datetime.now(UTC)
        self.summaries[thread.id] = Summary(
            id=thread.id,
            owner=whose.owner,
            agent=thread.session.agent,
            status=thread.session.status,
            title="",
            prompt=thread.session.prompt,
            lane=thread.lane,
            tokens=0,
            cost=thread.session.usage.cost,
            created_at=now,
            updated_at=now,
            metadata=metadata,
        )
        self._put(Thread(thread.id, lane=thread.lane), events, key)
        return True

    async def load(self, session_id: str) -> Thread | None:
        return self.threads.get(session_id)

    async def append(
        self,
        thread: Thread,
        *events: AnyEvent,
        key: str | None = None,
        payer: int | None = None,
    ) -> bool:
        if self.threads[thread.id].seq != thread.seq or (key and await self.find(thread.id, key)):
            return False
        self._put(thread, events, key)
        return True

    async def claim(self, session_id: str, *, owner: int) -> Thread | None:
        thread = self.threads.get(session_id)
        if thread is None or thread.session.status != "ready" or session_id in self.owners:
            return None
        self.owners[session_id] = owner
        return thread

    async def held(self, session_id: str, *, owner: int) -> Thread | None:
        return self.threads.get(session_id) if self.owners.get(session_id) == owner else None

    async def commit(
        self,
        after: Thread,
        events: Sequence[AnyEvent],
        *,
        owner: int,
        release: bool,
        wake_at: datetime | None = None,
    ) -> bool:
        if meanwhile := self.before_commit:
            self.before_commit = None
            await meanwhile(after.id)
        thread = await self.held(after.id, owner=owner)
        if thread is None or thread.seq != after.seq - len(events):
            return False
        self._put(thread, events)
        self.wakes[after.id] = wake_at
        if release:
            del self.owners[after.id]
        return True

    async def release(
        self, session_id: str, *, owner: int, wake_in: timedelta, blameless: bool
    ) -> None:
        if self.owners.get(session_id) == owner:
            del self.owners[session_id]

    async def claim_stale(self, *, limit: int) -> list[tuple[str, str]]:
        return self.stale[:limit]

    async def put_back(self, ids: Sequence[str]) -> None:
        self.back += ids

    async def overdue(self, *, limit: int) -> list[str]:
        return self.late[:limit]

    async def poisonous(self, *, attempts: int, limit: int) -> list[str]:
        return self.poison[:limit]

    async def find(self, session_id: str, key: str) -> Stored | None:
        return next((s for s in self.stored.get(session_id, ()) if s.key == key), None)

    async def events(self, session_id: str, *, after: int, limit: int) -> list[Stored]:
        return [s for s in self.stored.get(session_id, ()) if s.seq > after][:limit]

    async def summary(self, session_id: str) -> Summary | None:
        known = self.summaries.get(session_id)
        return known and replace(known, status=self.threads[session_id].session.status)

    async def belongs(self, session_id: str, *, owner: str) -> bool:
        known = self.summaries.get(session_id)
        return known is not None and known.owner == owner

    async def list(
        self,
        *,
        owner: str | None,
        status: Status | None,
        agent: str | None,
        before: tuple[datetime, str] | None,
        limit: int,
    ) -> list[Summary]:
        found = [s for name in self.summaries if (s := await self.summary(name))]
        found.sort(key=lambda s: (s.created_at, s.id), reverse=True)
        return [
            s
            for s in found
            if owner in {None, s.owner}
            and status in {None, s.status}
            and agent in {None, s.agent}
            and (before is None or (s.created_at, s.id) < before)
        ][:limit]

    async def delete(self, session_id: str) -> bool:
        self.threads.pop(session_id, None)
        self.stored.pop(session_id, None)
        return self.summaries.pop(session_id, None) is not None

    async def forget(self, *, older_than: timedelta) -> int:
        edge = datetime.now(UTC) - older_than
        old = [s.id for s in self.summaries.values() if s.updated_at < edge]
        return sum([await self.delete(session_id) for session_id in old])

    def _put(self, thread: Thread, events: Sequence[AnyEvent], key: str | None = None) -> None:
        self.threads[thread.id] = thread.after(*events)
        rows = self.stored.setdefault(thread.id, [])
        for number, event in enumerate(events, 1):
            said = key if isinstance(event, UserSpoke) else None
            rows.append(Stored(thread.seq + number, event, said))


class FakeIdentity:
    """Knows one key, which may do what the test says."""

    def __init__(self, key: str, caller: Caller) -> None:
        self.key = key
        self.caller = caller

    async def who(self, credential: str) -> Caller | None:
        return self.caller if credential == self.key else None

    def mark(self, credential: str) -> str:
        return f"mark.{credential}"

    async def marked(self, mark: str) -> Caller | None:
        return await self.who(mark.removeprefix("mark."))


class FakeAllowances:
    """Refuses all, once told to."""

    def __init__(self) -> None:
        self.requests = self.messages = 10**6

    async def take_request(self, caller: Caller) -> None:
        self.requests -= 1
        if self.requests < 0:
            raise TooMany("no requests left", retry_after=1.5)

    async def take_message(self, caller: Caller) -> None:
        self.messages -= 1
        if self.messages < 0:
            raise TooMany("no messages left", retry_after=2)


class FakeFigures:
    """Of a service in which nothing has happened."""

    async def waiting(self, owner: str) -> int:
        return 0

    async def asked(
        self, owner: str, *, after: tuple[datetime, str] | None, limit: int
    ) -> list[Summary]:
        return []

    async def said(
        self, session_id: str, *, kinds: Collection[str], before: int, limit: int
    ) -> list[Stored]:
        return []

    async def links(self, session_id: str) -> tuple[str | None, Sequence[str]]:
        return None, ()

    async def days(self, owner: str, *, since: date) -> list[Day]:
        return []

    async def work(self, *, stalled: float) -> list[dict[str, Any]]:
        return []

    async def ledger(self, *, limit: int) -> list[Deployment]:
        return []


KEY = "tfa_unittest_" + "k" * 43
AUTH = {"Authorization": f"Bearer {KEY}"}
SOMEBODY = Caller(
    key_id=1,
    name="somebody",
    owner="default",
    scopes=frozenset({"chat", "approve", "admin"}),
    allowance=Allowance(),
)


class FakeRecipients:
    """Who is told what, in memory, and taken by one at a time."""

    def __init__(self, sessions: FakeSessions) -> None:
        self.sessions = sessions
        self.rows: dict[tuple[str, str, str], Recipient] = {}
        self.buried: dict[tuple[str, int], str] = {}
        self.again: list[int] = []
        self.released: list[timedelta | None] = []

    async def session_of(self, address: Address, *, key: str) -> str | None:
        thread = (address.channel, address.thread)
        found = [r for r in self.rows.values() if (r.address.channel, r.address.thread) == thread]
        knowing = [r for r in found if await self.sessions.find(r.session_id, key)]
        said = (r for r in (*knowing, *reversed(found)) if r.is_origin or r.place != thread[1])
        return next((r.session_id for r in said), None)

    async def follow(self, session_id: str, address: Address) -> None:
        await self.join(session_id, address, is_guest=False)

    async def join(self, session_id: str, address: Address, *, is_guest: bool) -> None:
        place = (session_id, address.channel, address.thread)
        if known := self.rows.get(place):
            address = replace(address, details={**known.address.details, **address.details})
        self.rows[place] = Recipient(
            session_id=session_id,
            place=address.thread,
            address=address,
            is_origin=True,
            is_guest=is_guest,
        )

    async def of(self, session_id: str) -> list[Recipient]:
        return [r for r in self.rows.values() if r.session_id == session_id]

    async def request(self, session_id: str, request_id: str) -> ToolRequested | None:
        events = (stored.event for stored in self.sessions.stored.get(session_id, ()))
        asked = (event for event in events if isinstance(event, ToolRequested))
        return next((event for event in asked if event.call.id == request_id), None)

    async def invite(self, names: Sequence[str]) -> None:
        for session_id in self.sessions.threads:
            for name in names:
                address = Address.of(name)
                self.rows[session_id, address.channel, address.thread] = Recipient(
                    session_id=session_id, place=address.thread, address=address, is_origin=False
                )

    async def claim_due(self, *, limit: int) -> list[tuple[str, str, str, str]]:
        return [(*place, "default") for place in self.rows][:limit]

    async def put_back(self, due: Sequence[tuple[str, str, str, str]]) -> None:
        """It was not taken away."""

    async def claim(
        self, session_id: str, channel: str, place: str, *, owner: int
    ) -> Recipient | None:
        key = (session_id, channel, place)
        if (known := self.rows.get(key)) is None or known.owner:
            return None
        self.rows[key] = replace(known, tries=known.tries + 1, owner=owner)
        return replace(known, owner=owner)

    async def wanted(self, recipient: Recipient) -> list[int]:
        return self.again

    async def note(self, recipient: Recipient, *, told: int, moved: Address | None) -> bool:
        known = self.rows[recipient.session_id, recipient.address.channel, recipient.place]
        self._change(recipient, told=told, address=moved or known.address, tries=1)
        return True

    async def release(
        self, recipient: Recipient, *, told: int, wake_in: timedelta | None = None
    ) -> None:
        self.released.append(wake_in)
        tries = {} if wake_in else {"tries": 0}
        self._change(recipient, told=told, owner=0, **tries)

    async def bury(self, recipient: Recipient, *, seq: int, kind: str, reason: str) -> None:
        self.buried[recipient.name, seq] = reason

    async def revived(self, recipient: Recipient, *, seq: int) -> None:
        del self.buried[recipient.name, seq]

    async def letters(self, *, limit: int) -> list[dict[str, Any]]:
        return []

    async def revive(self, ids: Sequence[int]) -> int:
        return 0

    def _change(self, recipient: Recipient, **changes: Any) -> None:
        key = (recipient.session_id, recipient.address.channel, recipient.place)
        self.rows[key] = replace(self.rows[key], **changes)


class FakeParts:
    """The parts of an App that the web process needs; the key is SOMEBODY's."""

    upkeep: Upkeep
    _channels: Channels | None = None

    def __init__(self) -> None:
        self.ways: dict[str, Callable[[], Channel]] = {}
        self.keys = FakeIdentity(KEY, SOMEBODY)
        self.allowances = FakeAllowances()
        self.figures = FakeFigures()

    @classmethod
    def of(
        cls,
        *backing: Backing,
        sessions: FakeSessions | None = None,
        agents: Mapping[str, Agent] | None = None,
    ) -> Self:
        """With a service in memory behind which no worker works."""
        parts = cls()
        service = Service(
            sessions=sessions or FakeSessions(),
            queue=FakeQueue(),
            live=FakeLive(),
            agents=agents or {},
            clock=lambda: datetime.now(UTC),
        )
        parts.upkeep = upkeep_of(service, *backing)
        return parts

    @property
    def channels(self) -> Channels:
        """The same as long as the service is."""
        service = self.upkeep.service
        if self._channels is None or self._channels.service is not service:
            recipients = FakeRecipients(cast("FakeSessions", service.sessions))
            self._channels = Channels(service=service, recipients=recipients, keys=["k" * 64])
        return self._channels

    @property
    def deliverer(self) -> Deliverer:
        queue = self.upkeep.service.queue
        return Deliverer(channels=self.channels, ways=self.ways, queue=queue, owner=lambda: 1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """There is nothing to close."""


class FakeProcesses:
    def __init__(self) -> None:
        self.dead = 0
        self.living: list[dict[str, Any]] = []

    async def beat(self) -> int:
        return 1

    async def bury(self) -> int:
        dead, self.dead = self.dead, 0
        return dead

    async def alive(self) -> list[dict[str, Any]]:
        return self.living


class FakeCache:
    """Keeps for a while, by a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.is_down = False
        self.asked = 0
        self.kept: dict[str, tuple[bytes, float]] = {}

    async def get(self, key: str) -> bytes | None:
        self._answer()
        value, until = self.kept.get(key, (None, 0))
        return value if until > self.now else None

    async def put(self, key: str, value: bytes, *, seconds: float) -> None:
        self._answer()
        self.kept[key] = (value, self.now + seconds)

    async def delete(self, key: str) -> None:
        self._answer()
        self.kept.pop(key, None)

    async def expire(self) -> int:
        over = [key for key, (_, until) in self.kept.items() if until <= self.now]
        for key in over:
            del self.kept[key]
        return len(over)

    def _answer(self) -> None:
        self.asked += 1
        if self.is_down:
            raise Unavailable("the cache does not answer")


def upkeep_of(service: Service, *backing: Backing, processes: Processes | None = None) -> Upkeep:
    """The upkeep of a service in memory, which waits for nothing long."""
    return Upkeep(
        service=service,
        processes=processes or FakeProcesses(),
        backing=backing,
        retention=timedelta(days=1),
        cache=FakeCache(),
        ping_seconds=0.05,
    )


class FakeLive:
    """One queue a watcher."""

    def __init__(self) -> None:
        self.told: list[tuple[str, News]] = []
        self.watches: dict[str, list[FakeWatch]] = {}

    def tell(self, session_id: str, seq: int) -> None:
        self._spread(session_id, News(seq=seq))

    def token(self, session_id: str, text: str) -> None:
        self._spread(session_id, News(text=text))

    def wake(self) -> None:
        for session_id in self.watches:
            self._spread(session_id, News())

    @asynccontextmanager
    async def watch(self, session_id: str) -> AsyncIterator["FakeWatch"]:
        self.watches.setdefault(session_id, []).append(watch := FakeWatch())
        try:
            yield watch
        finally:
            self.watches[session_id].remove(watch)

    def _spread(self, session_id: str, news: News) -> None:
        self.told.append((session_id, news))
        for watch in self.watches.get(session_id, ()):
            watch.queue.put_nowait(news)


class FakeWatch:
    def __init__(self) -> None:
        self.queue: asyncio.Queue[News] = asyncio.Queue()

    async def next(self, seconds: float) -> News | None:
        try:
            async with asyncio.timeout(seconds):
                return await self.queue.get()
        except TimeoutError:
            return None


class FakeLedger:
    """A minute between its lines; `versions` have succeeded, as in staging="1.4.1"."""

    def __init__(self, **versions: str) -> None:
        self.lines: dict[int, Deployment] = {}
        self.keys: dict[str, int] = {}
        for environment, version in versions.items():
            made = self._add(version=version, environment=environment)
            self.lines[made.id] = replace(made, status="succeeded", completed_at=made.started_at)

    async def recent(self, environment: str | None = None, *, limit: int) -> list[Deployment]:
        lines = [line for line in self.lines.values() if environment in {None, line.environment}]
        return lines[::-1][:limit]

    async def get(self, deployment_id: int) -> Deployment | None:
        return self.lines.get(deployment_id)

    async def record(self, *, key: str, **deployment: Any) -> Deployment:
        if key not in self.keys:
            self.keys[key] = self._add(**deployment).id
        return self.lines[self.keys[key]]

    async def complete(self, deployment_id: int, *, status: str) -> Deployment:
        if (line := self.lines.get(deployment_id)) is None:
            raise NotFound(f"there is no deployment {deployment_id} in the ledger")
        if line.status == "started" or status == "rolled_back":
            ended = line.completed_at or line.started_at + timedelta(seconds=30)
            self.lines[line.id] = replace(line, status=status, completed_at=ended)
        return self.lines[line.id]

    def _add(self, **deployment: Any) -> Deployment:
        id_ = len(self.lines) + 1
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=id_)
        self.lines[id_] = Deployment(id=id_, status="started", started_at=at, **deployment)
        return self.lines[id_]


class FakeModel:
    """Says one thing after the other, or what a function makes of each request."""

    def __init__(
        self, *says: Replied | Exception, script: Callable[[Request], Replied] | None = None
    ):
        self.says = list(says)
        self.script = script
        self.asked: list[Request] = []

    async def answer(self, request: Request, *, on_text: Callable[[str], None]) -> Answer:
        self.asked.append(request)
        said = self.script(request) if self.script else self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        on_text(said.text)
        return Answer(said.text, said.calls, Usage(input_tokens=100, output_tokens=10), "fake")


class FakeWitness:
    """Is told, and keeps it to itself."""

    def __init__(self) -> None:
        self.noted: list[object] = []

    def note(self, before: Thread, events: Sequence[AnyEvent]) -> None:
        self.noted += events

    note_step = note

    def note_interruption(self, why: str) -> None:
        self.noted.append(why)

    def note_failure(self, model: str) -> None:
        self.noted.append(model)

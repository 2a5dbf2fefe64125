"""The ports of the service in memory, each as small as its Protocol."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from {{ cookiecutter.package_name }}.agent.ports import Check
from {{ cookiecutter.package_name }}.errors import Unavailable


class FakeChecks:
    def __init__(self) -> None:
        self.rows: dict[UUID, Check] = {}
        self.stale: list[UUID] = []

    async def add(self) -> Check:
        check = Check(id=uuid4(), asked_at=datetime.now(UTC))
        self.rows[check.id] = check
        return check

    async def get(self, check_id: UUID) -> Check | None:
        return self.rows.get(check_id)

    async def answer(self, check_id: UUID, *, by: str) -> Check | None:
        check = self.rows.get(check_id)
        if check is None or check.answered_at:
            return None
        self.rows[check_id] = Check(check.id, check.asked_at, datetime.now(UTC), by)
        return self.rows[check_id]

    async def claim_stale(self, *, limit: int) -> list[UUID]:
        claimed, self.stale = self.stale[:limit], self.stale[limit:]
        return claimed

    async def forget(self, *, older_than: timedelta) -> int:
        old = [c.id for c in self.rows.values() if datetime.now(UTC) - c.asked_at > older_than]
        for check_id in old:
            del self.rows[check_id]
        return len(old)


class FakeQueue:
    def __init__(self, *, is_down: bool = False) -> None:
        self.is_down = is_down
        self.sent: list[tuple[str, dict[str, str]]] = []

    async def send(self, task: str, **arguments: str) -> None:
        if self.is_down:
            raise Unavailable("the broker does not answer")
        self.sent.append((task, arguments))


class FakeBacking:
    def __init__(self, name: str, *, fault: Exception | None = None) -> None:
        self.name = name
        self.fault = fault

    async def ping(self) -> None:
        if self.fault:
            raise self.fault


class FakeJobs:
    def __init__(self, last_run: datetime | None = None) -> None:
        self.last = last_run or datetime.now(UTC)

    async def last_run(self, job: str) -> datetime:
        return self.last

    async def record(self, job: str, *, ran_at: datetime) -> None:
        self.last = ran_at


class FakeLeader:
    def __init__(self, *, is_leading: bool = True) -> None:
        self.is_leading = is_leading

    async def leads(self) -> bool:
        return self.is_leading

    async def close(self) -> None:
        self.is_leading = False

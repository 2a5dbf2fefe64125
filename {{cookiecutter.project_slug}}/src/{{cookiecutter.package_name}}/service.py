"""The use cases: what can be asked of this service, whatever the door it comes in by."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from .agent.ports import Backing, Check, Checks, Queue
from .errors import NotFound, Unavailable

log = logging.getLogger(__name__)

ANSWER = "checks.answer"
CLEANUP = "checks.cleanup"
SWEEP_LIMIT = 100


@dataclass(frozen=True, kw_only=True)
class Service:
    checks: Checks
    queue: Queue
    backing: Sequence[Backing]
    retention: timedelta
    ping_seconds: float = 5.0

    async def ask(self) -> Check:
        """A new check. Its row is the outbox: a broker that is down only delays the answer."""
        check = await self.checks.add()
        try:
            await self.queue.send(ANSWER, check_id=str(check.id))
        except Unavailable as error:
            log.warning(
                "check left to the sweeper", extra={"check": str(check.id), "error": str(error)}
            )
        return check

    async def read(self, check_id: UUID) -> Check:
        check = await self.checks.get(check_id)
        if check is None:
            raise NotFound(f"check {check_id} does not exist: POST /checks makes one")
        return check

    async def answer(self, check_id: UUID, *, by: str) -> Check | None:
        """The answered check; None where another worker was first or the check is gone."""
        check = await self.checks.answer(check_id, by=by)
        if check:
            log.info("check answered", extra={"check": str(check_id)})
        return check

    async def sweep(self) -> int:
        """Queue again what was queued and not answered: the broker lost it, or a worker died."""
        stale = await self.checks.claim_stale(limit=SWEEP_LIMIT)
        for check_id in stale:
            await self.queue.send(ANSWER, check_id=str(check_id))
        if stale:
            log.warning("stale checks queued again", extra={"count": len(stale)})
        return len(stale)

    async def cleanup(self) -> int:
        forgotten = await self.checks.forget(older_than=self.retention)
        log.info("old checks forgotten", extra={"count": forgotten})
        return forgotten

    async def faults(self) -> dict[str, str | None]:
        """Every backing service by name, with its fault or None, each within the time limit."""

        async def fault(backing: Backing) -> str | None:
            try:
                async with asyncio.timeout(self.ping_seconds):
                    await backing.ping()
            except TimeoutError:
                return f"no answer within {self.ping_seconds:g} s"
            except Unavailable as error:
                return str(error)
            return None

        answers = await asyncio.gather(*map(fault, self.backing))
        return dict(zip((backing.name for backing in self.backing), answers, strict=True))

    async def broken(self) -> dict[str, str]:
        """Only those with a fault."""
        return {name: fault for name, fault in (await self.faults()).items() if fault}

"""What the service does unasked: find what was lost, forget what is old, know what is away."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from .agent import events as e
from .agent.session import Thread
from .cache import Cache, Flights
from .errors import NewerRelease, NotFound, Unavailable
from .ports import Backing, Processes
from .service import ADVANCE, Decide, Service

log = logging.getLogger(__name__)

CLEANUP = "sessions.cleanup"
SWEEP_LIMIT = 500
ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    service: Service
    processes: Processes
    backing: Sequence[Backing]
    retention: timedelta
    cache: Cache
    ping_seconds: float = 5.0
    _looks: Flights[dict[str, str | None]] = field(default_factory=Flights, init=False)

    async def sweep(self) -> int:
        """Recover what a dead process, a lost message or a late person left; how many sessions."""
        sessions = self.service.sessions
        if buried := await self.processes.bury():
            log.warning("dead processes buried", extra={"count": buried})
        poisonous = await sessions.poisonous(attempts=ATTEMPTS, limit=SWEEP_LIMIT)
        await self._change(poisonous, self._poisoned)
        await self._change(await sessions.overdue(limit=SWEEP_LIMIT), self._overdue)
        stale = await sessions.claim_stale(limit=SWEEP_LIMIT)
        for place, (session_id, lane) in enumerate(stale):
            try:
                await self.service.queue.send(ADVANCE, lane=lane, session_id=session_id)
            except Unavailable:
                await sessions.put_back([session_id for session_id, _ in stale[place:]])
                raise
        if stale:
            log.warning("sessions queued again", extra={"count": len(stale)})
        return len(stale)

    async def cleanup(self) -> int:
        """Sessions by their age, and with them all that is kept and nobody needs; how many."""
        forgotten = await self.service.sessions.forget(older_than=self.retention)
        log.info("old sessions forgotten", extra={"count": forgotten})
        log.info("cache expired", extra={"count": await self.cache.expire()})
        return forgotten

    async def faults(self) -> dict[str, str | None]:
        """Every backing service by name, with its fault or None, each within the time limit; asked
        once for all who want to know at this moment, as each question is a connection of its own.
        """
        return await self._looks.join("faults", self._faults)

    async def _faults(self) -> dict[str, str | None]:
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

    async def workers(self) -> list[str]:
        """The workers that live, as host:pid."""
        return [p["name"] for p in await self.processes.alive() if p["kind"] == "worker"]

    async def _change(self, ids: Sequence[str], decide: Decide) -> None:
        """Each for itself: one that can't be changed holds up no other."""
        for session_id in ids:
            try:
                await self.service.change(session_id, decide)
            except (NotFound, NewerRelease):
                log.info("session is no concern of this release", extra={"session": session_id})
            except Unavailable:
                raise
            except Exception:
                log.exception("session can't be swept", extra={"session": session_id})

    def _poisoned(self, thread: Thread) -> list[e.AnyEvent]:
        if thread.session.status != "ready":
            return []
        log.error("session failed", extra={"session": thread.id, "attempts": ATTEMPTS})
        reason = f"begun {ATTEMPTS} times, and each time its worker ended without a result"
        return [e.SessionFailed(at=self.service.clock(), reason=reason)]

    def _overdue(self, thread: Thread) -> list[e.AnyEvent]:
        now = self.service.clock()
        return [
            e.DecisionTimedOut(at=now, call_id=call.call.id)
            for call in thread.session.pending
            if call.expires_at and call.expires_at <= now
        ]

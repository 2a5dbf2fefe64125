"""How long a session stands still when its worker is gone: three ways to go, each in calm weather.

A host that vanishes says no goodbye: to the database its connection, and the lock on it, live on.
A worker that is frozen looks the same, so it is the lease alone that tells; and one that thaws has
to find that what it held is no longer its own.
"""

import signal
import time
from dataclasses import dataclass

from ..stack import eventually
from .audit import DOUBLED
from .clients import Clients
from .fleet import Fleet, name_of
from .plan import Visit
from .storm import Deploy
from .witness import Witness

SESSIONS = 30
ENDLESS = 10**5
MS = 200
HOLDS = """SELECT p.name, count(s.id) FROM processes p LEFT JOIN sessions s ON s.lease_owner = p.id
    WHERE p.kind = 'worker' GROUP BY p.name ORDER BY count(s.id) DESC"""


@dataclass(frozen=True, kw_only=True)
class Drill:
    name: str
    workers: int
    rounds: int
    most: float
    """The bound on the 95th percentile, in seconds."""
    freezes: bool = False


DRILLS = (
    Drill(name="another worker lives", workers=2, rounds=10, most=1.5),
    Drill(name="the only one must boot", workers=1, rounds=6, most=4),
    Drill(name="the lease alone decides", workers=2, rounds=5, most=6.5, freezes=True),
)


@dataclass(frozen=True)
class Drilled:
    seconds: list[float]
    """Of each session in each round."""
    doubled: int


def exercise(drill: Drill, deploy: Deploy) -> Drilled:
    with Witness(deploy.database_url) as witness:
        return _exercise(drill, deploy, witness)


def _exercise(drill: Drill, deploy: Deploy, witness: Witness) -> Drilled:
    witness.swear_in()
    fleet = Fleet(deploy.environment, {"worker": drill.workers, "web": 1, "scheduler": 1})
    visits = [Visit(0, MS)] * SESSIONS
    clients = Clients(visits, steps=ENDLESS, urls=lambda: fleet.urls)
    clients.start()
    try:
        seconds = [s for _ in range(drill.rounds) for s in _round(drill, fleet, witness)]
    finally:
        clients.leave()
        fleet.stop()
    return Drilled(seconds, witness.one(DOUBLED))


def _round(drill: Drill, fleet: Fleet, witness: Witness) -> list[float]:
    def are_held() -> bool:
        holds = witness.rows(HOLDS)
        return len(holds) == drill.workers and sum(held for _, held in holds) == SESSIONS

    eventually(are_held, f"{SESSIONS} sessions are held by {drill.workers} workers")
    slot = fleet.slot_of(witness.rows(HOLDS)[0][0])
    death = (name_of(fleet[slot]), time.time())
    if drill.freezes:
        fleet[slot].signal(signal.SIGSTOP)
    else:
        fleet.kill(slot)

    def have_gone_on() -> list[float]:
        seconds = witness.recovery([death])
        return [s for s in seconds if s is not None] if None not in seconds else []

    try:
        return eventually(have_gone_on, "all that it held go on")
    finally:
        if drill.freezes:
            fleet[slot].signal(signal.SIGCONT)

"""The storm: sessions run, blows fall, and at the end everything is counted."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..stack import eventually
from .audit import Audit, audit
from .clients import DONE, Clients
from .fleet import CANARIES, Fleet, secrets_of
from .plan import Plan
from .witness import Witness

SIZES = {"worker": 4, "web": 2, "scheduler": 2}
MODEL = "scripted:bench?seconds=0.2"
SETTLE_SECONDS = 150
LOOK_SECONDS = 0.1
HELD = "SELECT count(*) FROM moves WHERE owner IS NOT NULL"
WORKERS = "SELECT count(*) FROM processes WHERE kind = 'worker'"


@dataclass(frozen=True)
class Deploy:
    """Where a storm rages: a database, a broker, and how one makes them fail."""

    database_url: str
    crash: Callable[[], None]
    purge: Callable[[], None]
    environment: Mapping[str, str]

    @classmethod
    def on(
        cls,
        database_url: str,
        *,
        crash: Callable[[], None],
        purge: Callable[[], None] | None = None,
        broker_url: str = "pgmq:",
    ) -> "Deploy":
        own = {"DATABASE_URL": database_url, "BROKER_URL": broker_url}
        own |= {"DEFAULT_AGENT": "bench", "MODEL": MODEL, **CANARIES}
        return cls(database_url, crash, purge or (lambda: purge_pgmq(database_url)), own)


@dataclass(frozen=True)
class Outcome:
    sessions: int
    kills: Counter[str]
    crashes: int
    purges: int
    seconds: float
    settled: float
    """Seconds from the last blow until every client had its answer."""
    retries: int
    refused: list[str]
    unanswered: int
    unasked: list[str]
    leaks: list[str]
    """Secrets found in what was said or stored."""
    recovery: list[float]
    audit: Audit


def purge_pgmq(database_url: str) -> None:
    with Witness(database_url) as witness:
        witness.rows("SELECT pgmq.purge_queue(queue_name) FROM pgmq.list_queues()")


def rage(plan: Plan, deploy: Deploy, *, steps: int, sizes: Mapping[str, int]) -> Outcome:
    with Witness(deploy.database_url) as witness:
        return _rage(plan, deploy, witness, steps=steps, sizes=sizes)


def _rage(
    plan: Plan, deploy: Deploy, witness: Witness, *, steps: int, sizes: Mapping[str, int]
) -> Outcome:
    witness.swear_in()
    fleet = Fleet(deploy.environment, sizes)
    eventually(lambda: witness.one(WORKERS) == sizes["worker"], "all workers are up")
    clients = Clients(plan.visits, steps=steps, urls=lambda: fleet.urls)
    clients.start()
    eventually(lambda: witness.one(HELD), "the first session is in somebody's hands")
    began = time.monotonic()
    strike(plan, fleet, deploy, began=began)
    ended = time.monotonic()
    while not clients.wait(LOOK_SECONDS) and time.monotonic() < ended + SETTLE_SECONDS:
        fleet.tend()
    settled = time.monotonic() - ended
    clients.leave()
    fleet.stop()
    deaths = [(death.name, death.at) for death in fleet.deaths if death.kind == "worker"]
    talks = list(clients.talks)
    return Outcome(
        sessions=len(plan.visits),
        kills=Counter(death.kind for death in fleet.deaths),
        crashes=sum(blow.what == "crash" for blow in plan.blows),
        purges=sum(blow.what == "purge" for blow in plan.blows),
        seconds=time.monotonic() - began,
        settled=settled,
        retries=clients.retries,
        refused=clients.refused,
        unanswered=len(plan.visits) - sum(talk.answer == DONE for talk in talks),
        unasked=fleet.unasked,
        leaks=[*fleet.leaks, *stored(witness, secrets_of(deploy.environment))],
        recovery=[seconds for seconds in witness.recovery(deaths) if seconds is not None],
        audit=audit(witness, [talk.session_id for talk in talks], steps=steps),
    )


def stored(witness: Witness, secrets: Mapping[str, str]) -> list[str]:
    sql = "SELECT count(*) FROM events WHERE position(%(secret)s in data::text) > 0"
    return [
        f"{name} is stored in events"
        for name, secret in secrets.items()
        if witness.rows(sql, secret=secret)[0][0]
    ]


def strike(plan: Plan, fleet: Fleet, deploy: Deploy, *, began: float) -> None:
    for blow in plan.blows:
        while (left := began + blow.at - time.monotonic()) > 0:
            fleet.tend()
            time.sleep(min(left, LOOK_SECONDS))
        print(blow, file=sys.stderr, flush=True)
        match blow.what:
            case "kill":
                fleet.kill(*blow.slots)
            case "crash":
                deploy.crash()
            case "purge":
                deploy.purge()

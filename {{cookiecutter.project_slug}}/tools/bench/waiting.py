"""Waiting for models is most of the work: how much of it one worker process holds, and its weight.

Sessions that go on for ever are in flight, each step of which waits 2 s; the lines that they write
to the ledger are counted over whole rounds of them, once all are under way.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from .figures import Figure
from .provider import PATIENCE_SECONDS
from .rig import Deploy, Rig

LEAST = 95.0
MOST_MEMORY = 220.0
STEPS = 1000
ROUNDS_BEFORE, ROUNDS = 2, 5
LINES = "SELECT count(*), clock_timestamp() FROM deployments"


@dataclass(frozen=True, kw_only=True)
class Crowd:
    name: str
    sessions: int
    model: str


CROWDS = (
    Crowd(name="scripted", sessions=1000, model=f"scripted:bench?seconds={PATIENCE_SECONDS}"),
    Crowd(name="over HTTP", sessions=300, model="openai:patient"),
)


def measure(rig: Rig) -> Iterator[Figure]:
    for crowd in CROWDS:
        with rig.provider() as url, rig.deploy(rig.best_broker()) as deploy:
            name = f"waiting: {crowd.sessions} {crowd.name}"
            rate, memory = hold(deploy, crowd, provider=url)
        part = 100 * rate / (crowd.sessions / PATIENCE_SECONDS)
        yield Figure(name=f"{name}, steps", value=rate, unit="/s")
        yield Figure(name=f"{name}, of what is possible", value=part, unit="%", least=LEAST)
        yield Figure(name=f"{name}, memory", value=memory, unit="MB", most=MOST_MEMORY)


def hold(deploy: Deploy, crowd: Crowd, *, provider: str) -> tuple[float, float]:
    """Steps a second, and the worker's memory at the end."""
    in_flight = {"WORKER_CONCURRENCY": str(crowd.sessions)}
    worker = deploy.work(MODEL=crowd.model, OPENAI_BASE_URL=f"{provider}/v1", **in_flight)
    deploy.start("schedule")
    deploy.enqueue(deploy.ready(crowd.sessions, f"{STEPS} steps of 0 bytes"))
    deploy.until_in_flight(crowd.sessions)
    time.sleep(ROUNDS_BEFORE * PATIENCE_SECONDS)
    ((before, began),) = deploy.rows(LINES)
    time.sleep(ROUNDS * PATIENCE_SECONDS)
    ((after, ended),) = deploy.rows(LINES)
    memory = worker.memory()
    worker.kill()
    return (after - before) / (ended - began).total_seconds(), memory

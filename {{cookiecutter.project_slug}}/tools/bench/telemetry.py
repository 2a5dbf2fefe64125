"""What telemetry costs: a worker's CPU for a step, and a web process's memory, on and off.

The same steps by two workers in turn; the spans of one are exported to a collector that counts
them. Without a model's time this is the most that it can be of a step.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import httpx2

from tests.collector import Collector

from ..keys import AUTH
from ..stack import Service, eventually
from .figures import Figure, averaged, interleaved
from .rig import Deploy, Rig
from .steps import ours

MOST, MOST_MEMORY = 1.15, 110.0  # 105 MiB
PAIRS, ROUNDS = 4, 7
SESSIONS, STEPS = 200, 5
SPANS = 1 + 2 * STEPS + 1
"""Of a session: that it was taken up; each model call and each tool call."""
REQUESTS = 200
CPU = re.compile(r"^process_cpu_seconds_total (\S+)$", re.MULTILINE)


def measure(rig: Rig) -> Iterator[Figure]:
    with Collector() as collector, ExitStack() as stack:
        dsn = collector.url.replace("//", "//key@") + "/1"
        on = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "SENTRY_DSN": dsn}
        deploys = {
            name: stack.enter_context(rig.deploy(rig.best_broker(), **environment))
            for name, environment in {"off": {}, "on": on}.items()
        }
        costs = averaged(costs_of_a_pair(deploys) for _ in range(PAIRS))
        expected = PAIRS * (1 + ROUNDS) * SESSIONS * SPANS
        eventually(lambda: len(collector.spans) >= expected, f"{expected} spans are collected")
        memory = {name: weigh(deploy) for name, deploy in deploys.items()}
    for name, cost in costs.items():
        yield Figure(name=f"telemetry: CPU of a step, {name}", value=cost, unit="ms")
    name = "telemetry: CPU of a step, on to off"
    yield Figure(name=name, value=costs["on"] / costs["off"], most=MOST)
    for name, size in memory.items():
        yield Figure(
            name=f"telemetry: web, {name}, memory", value=size, unit="MB", most=MOST_MEMORY
        )


def costs_of_a_pair(deploys: dict[str, Deploy]) -> dict[str, float]:
    workers = {name: deploy.work() for name, deploy in deploys.items()}
    runs = {name: partial(spent, deploy, workers[name]) for name, deploy in deploys.items()}
    for run in runs.values():
        run()
    costs = interleaved(runs, rounds=ROUNDS)
    for worker in workers.values():
        worker.stop()
    return costs


def spent(deploy: Deploy, worker: Service) -> float:
    """The milliseconds of CPU that a step takes."""
    before = cpu(worker)
    ours(deploy, SESSIONS, STEPS)
    return 1000 * (cpu(worker) - before) / (SESSIONS * STEPS)


def cpu(service: Service) -> float:
    found = CPU.search(service.get("/metrics"))
    assert found, "the process does not tell its CPU time"
    return float(found[1])


def weigh(deploy: Deploy) -> float:
    """The memory of a web process that has answered requests of every kind."""
    web, _ = deploy.start("serve"), deploy.work()
    with httpx2.Client(base_url=web.url, headers=AUTH, timeout=30) as client:
        for _ in range(REQUESTS):
            session = client.post("/chat/sessions").headers["location"]
            client.post(f"{session}/messages", json={"text": "0 steps of 0 bytes"})
            client.get(session)
    return web.memory()

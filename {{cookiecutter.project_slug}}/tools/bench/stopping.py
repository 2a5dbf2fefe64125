"""A worker that is told to stop with its hands full: how long it takes, and what becomes of it all.

What it hands back, another worker finishes. Those that the scheduler has to queue again are shown:
they are not lost, but some seconds late.
"""

import re
import signal
import time
from collections.abc import Iterator

from .figures import Figure
from .rig import NO_REDIS, Deploy, Rig

SESSIONS, STEPS = 300, 5
MOST_SECONDS = 5.0
SWEPT = re.compile(r"^swept_total (\S+)", re.MULTILINE)
SLOW = "scripted:bench?seconds=2"
EVENTS = 2 + 3 * STEPS + 2
"""Started, said; a call, its request and its end for each step; a last call and the answer."""
AMISS = """SELECT count(*) FROM sessions s WHERE status <> 'idle' OR seq <> %(events)s
    OR (SELECT count(*) FROM events e WHERE e.session_id = s.id) <> %(events)s
    OR (SELECT count(*) FROM effects f WHERE f.session_id = s.id) <> %(steps)s"""


def measure(rig: Rig) -> Iterator[Figure]:
    for broker, url in rig.brokers().items():
        if url is None:
            yield Figure(name=f"stopping: {broker}", instead=NO_REDIS)
            continue
        with rig.deploy(url, WORKER_CONCURRENCY=str(SESSIONS)) as deploy:
            name = f"stopping: {broker}, {SESSIONS} in flight"
            seconds = stop(deploy)
            yield Figure(name=f"{name}, exit", value=seconds, unit="s", most=MOST_SECONDS)
            deploy.work()
            scheduler = deploy.start("schedule")
            deploy.until_idle()
            swept = SWEPT.search(scheduler.get("/metrics"))
            yield Figure(name=f"{name}, swept up", value=float(swept[1] if swept else 0))
            amiss = deploy.one(AMISS, events=EVENTS, steps=STEPS)
            doubled = deploy.one("SELECT count(*) FROM deployments") - SESSIONS * STEPS
            yield Figure(name=f"{name}, lost or doubled", value=amiss + abs(doubled), most=0)


def stop(deploy: Deploy) -> float:
    """The seconds from SIGTERM to the exit, which has to be clean."""
    worker = deploy.work(MODEL=SLOW)
    deploy.enqueue(deploy.ready(SESSIONS, f"{STEPS} steps of 0 bytes"))
    deploy.until_in_flight(SESSIONS)
    began = time.perf_counter()
    worker.signal(signal.SIGTERM)
    assert (code := worker.ended()) == 0, f"it exited with {code}:\n{worker.output}"
    return time.perf_counter() - began

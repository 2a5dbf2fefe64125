"""Durable steps a second without a model's time, side by side with peers and with the database.

A step is a model call and a tool call with all their commits, and the tool's line in the ledger
under its key; a session of five ends with one model call more, whoever runs it. One process each:
a worker with its defaults, its logs and its broker, a scheduler beside it; LangGraph and DBOS as
their modules say. The clock runs from the first session's enqueueing to the last one's answer.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from ..environments import missing
from . import plain
from .figures import Figure, interleaved
from .peers import ENVIRONMENT, NAMES, peer
from .rig import NO_REDIS, Deploy, Rig

ROUNDS = 5
STEPS, MORE_STEPS = 5, 20
SESSIONS, PEER_SESSIONS = 200, 80
TOLD = 2
"""Events before the first step: that it began, and what was said."""
TO_PEERS = {"Redis": 4.0, "pgmq": 3.0}
TO_PLAIN = {"Redis": 0.40, "pgmq": 0.30}
TO_MORE_STEPS = 1.7
PLAIN = "plain"


def measure(rig: Rig) -> Iterator[Figure]:
    with ExitStack() as stack:
        runs = dict[str, Callable[[], float]]()
        for broker, url in rig.brokers().items():
            if url is None:
                yield Figure(name=f"steps: {broker}", instead=NO_REDIS)
                continue
            deploy = stack.enter_context(rig.deploy(url))
            deploy.work()
            deploy.start("schedule")
            runs[broker] = partial(ours, deploy, SESSIONS, STEPS)
            runs[f"{broker} {MORE_STEPS}"] = partial(ours, deploy, SESSIONS, MORE_STEPS)
        if why := missing(ENVIRONMENT):
            yield Figure(name="steps: peers", instead=f"no peers here: {why}")
        else:
            for name in NAMES:
                process = stack.enter_context(peer(name, rig.postgres.create()))
                runs[name] = partial(theirs, process.run)
        runs[PLAIN] = partial(by_plain, stack.enter_context(rig.deploy("pgmq:")), *example(deploy))
        for run in runs.values():
            run()
        rates = interleaved(runs, rounds=ROUNDS)
    yield from figures(rates)


def figures(rates: dict[str, float]) -> Iterator[Figure]:
    """The rates, and what they are to one another."""
    for name, rate in rates.items():
        yield Figure(name=f"steps: {name}", value=rate, unit="/s")
    for broker in [broker for broker in TO_PEERS if broker in rates]:
        for name in [name for name in NAMES if name in rates]:
            ratio = rates[broker] / rates[name]
            yield Figure(name=f"steps: {broker} to {name}", value=ratio, least=TO_PEERS[broker])
        to_plain, more = rates[broker] / rates[PLAIN], rates[f"{broker} {MORE_STEPS}"]
        yield Figure(name=f"steps: {broker} to plain", value=to_plain, least=TO_PLAIN[broker])
        longer = f"steps: {broker}, sessions of {MORE_STEPS} steps to those of {STEPS}"
        yield Figure(name=longer, value=more / rates[broker], least=TO_MORE_STEPS)


def ours(deploy: Deploy, sessions: int, steps: int) -> float:
    """Steps a second, by the database's clock; nothing may be lost or done twice."""
    told = deploy.ready(sessions, f"{steps} steps of 0 bytes")
    lines = deploy.one("SELECT count(*) FROM deployments")
    began = deploy.one("SELECT clock_timestamp()")
    deploy.enqueue(told)
    deploy.until_idle()
    ended = deploy.one("SELECT max(updated_at) FROM sessions")
    wrote = deploy.one("SELECT count(*) FROM deployments") - lines
    assert wrote == sessions * steps, f"{wrote} lines in the ledger, not {sessions * steps}"
    return float(sessions * steps / (ended - began).total_seconds())


def theirs(run: Callable[..., float]) -> float:
    return PEER_SESSIONS * STEPS / run(PEER_SESSIONS, steps=STEPS)


def example(deploy: Deploy) -> tuple[str, list[plain.Commit]]:
    """What was said to a session, and what a worker then committed to it."""
    text = f"{STEPS} steps of 0 bytes"
    (session,) = told = deploy.ready(1, text)
    deploy.enqueue(told)
    deploy.until_idle()
    return text, plain.commits(deploy, session, after=TOLD)


def by_plain(deploy: Deploy, text: str, commits: list[plain.Commit]) -> float:
    told = deploy.ready(SESSIONS, text)
    return SESSIONS * STEPS / plain.commit(deploy, told, commits, after=TOLD)

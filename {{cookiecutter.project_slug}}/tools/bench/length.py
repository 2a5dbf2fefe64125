"""What a step costs late in a long session, against an early one: in time, and in context.

Each result is so big that the window is about full after 20 events: from there on, what is new
pushes out what is old. The times are those of the events, in one session after the other.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import mean
from typing import Any

from .figures import Figure
from .rig import Deploy, Rig

MOST = 1.5
LATE = 2000
EARLY = range(10, 30)
STEPS, SIZE = 700, 6000
SESSIONS = 3
SHORT, SHORT_STEPS = 30, 12
COSTS = """SELECT seq, data->>'at', (data->'usage'->>'input_tokens')::int FROM events
    WHERE session_id = %(id)s AND data->>'kind' = 'model_answered' ORDER BY seq"""
Cost = tuple[float, float]
"""The milliseconds of a step, and the tokens that its model was shown."""


def measure(rig: Rig) -> Iterator[Figure]:
    with rig.deploy(rig.best_broker()) as deploy:
        deploy.work()
        early = costs(deploy, SHORT, SHORT_STEPS, EARLY)
        late = costs(deploy, SESSIONS, STEPS, range(LATE - 100, LATE + 100))
    for part, unit in enumerate(("ms", "tokens")):
        before, after = (mean(cost[part] for cost in known) for known in (early, late))
        yield Figure(name=f"length: a step at 20 events, {unit}", value=before, unit=unit)
        yield Figure(name=f"length: a step at {LATE:,} events, {unit}", value=after, unit=unit)
        yield Figure(name=f"length: {unit}, late to early", value=after / before, most=MOST)


def costs(deploy: Deploy, sessions: int, steps: int, places: range) -> list[Cost]:
    """Those of the steps that began at these places."""
    found = list[Cost]()
    for _ in range(sessions):
        (session_id,) = told = deploy.ready(1, f"{steps} steps of {SIZE} bytes")
        deploy.enqueue(told)
        deploy.until_idle()
        found += _costs(deploy.rows(COSTS, id=session_id), places)
    return found


def _costs(rows: Sequence[tuple[Any, ...]], places: range) -> Iterator[Cost]:
    for (seq, at, tokens), (_, then, _) in pairwise(rows):
        if seq in places:
            taken = datetime.fromisoformat(then) - datetime.fromisoformat(at)
            yield taken / timedelta(milliseconds=1), tokens

"""What a million finished sessions cost those that work: claim, list and sweep, against none."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median
from time import perf_counter

from {{ cookiecutter.package_name }}.bootstrap import App

from .figures import Figure
from .rig import Deploy, Rig

FINISHED = 1_000_000
AT_ONCE = 100_000
READY = 300
PAGE = 21
REPEATS = 100
MOST = 2.0


def measure(rig: Rig) -> Iterator[Figure]:
    with ExitStack() as stack:
        empty, full = (stack.enter_context(rig.deploy("pgmq:")) for _ in range(2))
        fill(full)
        before, after = (look(deploy) for deploy in (empty, full))
    for name, value in after.items():
        yield Figure(name=f"million: {name}, empty tables", value=before[name], unit="ms")
        yield Figure(name=f"million: {name}, a million there", value=value, unit="ms")
        yield Figure(name=f"million: {name}, full to empty", value=value / before[name], most=MOST)


def look(deploy: Deploy) -> dict[str, float]:
    deploy.rows("VACUUM ANALYZE")
    return deploy.use(partial(times, ready=deploy.ready(READY, "0 steps of 0 bytes")))


def fill(deploy: Deploy) -> None:
    """A million sessions that were started and cancelled."""

    async def finished(app: App) -> str:
        session = await app.service.start()
        await app.service.cancel(session, by="bench")
        return session

    session = deploy.use(finished)
    for _ in range(FINISHED // AT_ONCE):
        deploy.copies(session, AT_ONCE)


async def times(app: App, *, ready: Sequence[str]) -> dict[str, float]:
    """The median milliseconds of each."""
    sessions, owner = app.service.sessions, await app.processes.beat()
    lists = partial(sessions.list, owner=None, before=None, limit=PAGE)
    return {
        "claim": await timed(partial(sessions.claim, session, owner=owner) for session in ready),
        "list": await timed([partial(lists, status=None, agent=None)] * REPEATS),
        "list by status": await timed([partial(lists, status="ready", agent=None)] * REPEATS),
        "list by agent": await timed([partial(lists, status=None, agent="bench")] * REPEATS),
        "sweep": await timed([app.upkeep.sweep] * REPEATS),
        "queue depth": await timed([partial(app.reports.work, stalled=600)] * REPEATS),
    }


async def timed(acts: Iterable[Callable[[], Awaitable[object]]]) -> float:
    taken = list[float]()
    for act in acts:
        began = perf_counter()
        await act()
        taken.append(1000 * (perf_counter() - began))
    return median(taken)

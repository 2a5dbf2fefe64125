"""`python -m tools.chaos`: a storm, then the drills; 1 where anything was lost or is too slow."""

import argparse
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from ..stack import Postgres, Redis, directory
from . import report
from .drills import DRILLS, exercise
from .plan import make_plan
from .storm import SIZES, Deploy, rage

KILLS_A_SECOND = 1  # a process takes about a second of a core to start
SESSIONS_A_SECOND = 10
LEAST_SECONDS = 10.0
DEFAULTS = {"sessions": 2000, "steps": 5, "kills": 1000, "crashes": 5, "purges": 5}


def main() -> int:
    wanted = arguments()
    numbers = {name: getattr(wanted, name) for name in ("sessions", "kills", "crashes", "purges")}
    needed = (wanted.kills / KILLS_A_SECOND, wanted.sessions / SESSIONS_A_SECOND)
    seconds = max(LEAST_SECONDS, *needed)
    plan = make_plan(wanted.seed, sizes=SIZES, seconds=seconds, **numbers)
    print(f"--seed {wanted.seed}: {seconds:,.0f} s of storm", file=sys.stderr, flush=True)
    with directory() as folder:
        postgres = Postgres(folder)
        with brokers(wanted.broker, folder) as broker:

            def deploy() -> Deploy:
                return Deploy.on(postgres.create(), crash=postgres.crash, **broker)

            outcome = rage(plan, deploy(), steps=wanted.steps, sizes=SIZES)
            found = {drill: exercise(drill, deploy()) for drill in DRILLS}
        postgres.stop()
    lines = [*report.of_storm(outcome), *report.of_drills(found)]
    print(f"--seed {wanted.seed} --broker {wanted.broker}", *lines, sep="\n")
    return any(line.is_over for line in lines)


@contextmanager
def brokers(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """How a deploy reaches the broker, and how one empties it."""
    if name == "pgmq":
        yield {}
        return
    if (server := Redis.found(folder)) is None:
        sys.exit("--broker redis needs a redis-server on the PATH")
    try:
        with redis.Redis.from_url(server.url) as client:
            yield {"broker_url": server.url, "purge": client.flushall}
    finally:
        server.stop()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.chaos", description=__doc__)
    for name, default in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    seed = random.randrange(10**6)
    parser.add_argument("--seed", type=int, default=seed, metavar="N", help="replays a storm")
    parser.add_argument("--broker", choices=("pgmq", "redis"), default="pgmq")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

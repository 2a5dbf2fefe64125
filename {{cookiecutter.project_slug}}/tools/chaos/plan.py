"""What befalls a deploy in a storm, and when: a pure function of the seed, to be replayed."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

MOST_AT_ONCE = 4
PURGE_AFTER = (0.0, 1.0)


@dataclass(frozen=True)
class Visit:
    """A client that starts a session and tells it what to do."""

    at: float
    ms: int
    """How long each act of its session takes."""


@dataclass(frozen=True)
class Blow:
    at: float
    what: Literal["kill", "crash", "purge"]
    slots: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.at:8.2f} s  {self.what:5}  {', '.join(self.slots)}".rstrip()


@dataclass(frozen=True)
class Plan:
    visits: tuple[Visit, ...]
    blows: tuple[Blow, ...]


def slots(sizes: Mapping[str, int]) -> list[str]:
    """A name for each process: worker-1, worker-2, web-1, …"""
    return [f"{kind}-{n}" for kind, size in sizes.items() for n in range(1, size + 1)]


def make_plan(  # noqa: PLR0913
    seed: int,
    *,
    sizes: Mapping[str, int],
    sessions: int,
    kills: int,
    crashes: int,
    purges: int,
    seconds: float,
    ms: tuple[int, int] = (100, 500),
) -> Plan:
    """A purge comes when all workers are dead: that is when the broker holds what matters."""
    random = Random(seed)
    visits = [Visit(random.uniform(0, seconds), random.randint(*ms)) for _ in range(sessions)]
    blows = [Blow(random.uniform(0, seconds), "crash") for _ in range(crashes)]
    workers = tuple(slot for slot in slots(sizes) if slot.startswith("worker"))
    for _ in range(purges):
        at, victims = random.uniform(0, seconds), workers[:kills]
        blows += [Blow(at, "kill", victims), Blow(at + random.uniform(*PURGE_AFTER), "purge")]
        kills -= len(victims)
    while kills > 0:
        number = min(random.randint(1, MOST_AT_ONCE), kills)
        victims = tuple(random.sample(slots(sizes), number))
        blows.append(Blow(random.uniform(0, seconds), "kill", victims))
        kills -= len(victims)
    return Plan(
        tuple(sorted(visits, key=lambda visit: visit.at)),
        tuple(sorted(blows, key=lambda blow: blow.at)),
    )

"""What a storm and the drills come to: a line each, beside its bound where it has one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from statistics import quantiles

from .drills import Drill, Drilled
from .storm import Outcome

WIDTH = 40


@dataclass(frozen=True, kw_only=True)
class Line:
    what: str
    value: float
    unit: str = ""
    most: float | None = None
    details: Sequence[str] = ()

    @property
    def is_over(self) -> bool:
        return self.most is not None and not self.value <= self.most

    def __str__(self) -> str:
        value = f"{self.value:,}" if isinstance(self.value, int) else f"{self.value:,.2f}"
        line = f"{self.what:{WIDTH}} {value:>8} {self.unit:2}"
        if self.most is not None:
            line += f"  at most {self.most:g} {self.unit:2}  {'over' if self.is_over else 'ok'}"
        return "\n".join([line.rstrip(), *(f"    {detail}" for detail in self.details)])


def of_storm(outcome: Outcome) -> Iterator[Line]:
    audit, kills = outcome.audit, outcome.kills
    told = {
        "sessions": outcome.sessions,
        **{f"kills, {kind}": kills[kind] for kind in sorted(kills)},
        "kills in all": kills.total(),
        "crashes of PostgreSQL": outcome.crashes,
        "broker emptied": outcome.purges,
        "requests sent again": outcome.retries,
        "acts repeated, absorbed by their key": audit.repeats,
        "calls that failed, and the model saw it": audit.failed,
        "sessions begun unheard, never spoken to": audit.strays,
        "steps in flight when a worker died": len(outcome.recovery),
    }
    for what, number in told.items():
        yield Line(what=what, value=number)
    unasked, what = outcome.unasked, "processes that ended by themselves"
    yield Line(what=what, value=len(unasked), most=0, details=unasked)
    leaks = outcome.leaks
    yield Line(what="secrets said or stored", value=len(leaks), most=0, details=leaks)
    yield from _recovery("recovery in the storm", outcome.recovery)
    yield Line(what="from the last blow to the last answer", value=outcome.settled, unit="s")
    yield Line(what="the storm in all", value=outcome.seconds, unit="s")
    refused = outcome.refused
    yield Line(what="lost", value=len(audit.lost), most=0, details=audit.lost)
    yield Line(what="without their answer", value=outcome.unanswered, most=0, details=refused)
    yield Line(what="duplicate effects", value=audit.doubled, most=0)
    yield Line(what="messages said twice", value=audit.said_twice, most=0)


def of_drills(found: Mapping[Drill, Drilled]) -> Iterator[Line]:
    for drill, drilled in found.items():
        yield from _recovery(f"recovery, {drill.name}", drilled.seconds, most=drill.most)
    doubled = sum(drilled.doubled for drilled in found.values())
    yield Line(what="duplicate effects meanwhile", value=doubled, most=0)


def _recovery(what: str, seconds: Sequence[float], *, most: float | None = None) -> Iterator[Line]:
    if len(seconds) > 1:
        parts = quantiles(seconds, n=20)
        yield Line(what=f"{what}, p50", value=parts[9], unit="s")
        yield Line(what=f"{what}, p95", value=parts[-1], unit="s", most=most)
    elif most is not None:
        yield Line(what=f"{what}, p95 of {len(seconds)}", value=nan, unit="s", most=most)

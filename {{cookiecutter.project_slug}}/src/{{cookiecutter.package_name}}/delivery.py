"""Delivery in four figures, as DORA counts them, from the ledger's lines alone.

A change is a line that puts no earlier release back, and has ended: it was delivered, or it failed;
what was rolled back has failed. docs/delivery.md has the formulas.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from .ledger import Deployment


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """None where there is nothing to tell it from."""

    deployments: int
    """Changes that were delivered."""
    deployments_a_day: float
    lead_time_seconds: float | None
    """The median from a commit until it was delivered, of"""
    lead_times: int
    """changes whose commit's time is known."""
    changes: int
    failures: int
    change_failure_rate: float | None
    restore_seconds: float | None
    """The median from the start of a failure until something ran well again, of"""
    restores: int
    unrestored: int
    """Failures after which nothing has succeeded so far."""


def figures(lines: Sequence[Deployment], *, days: int) -> Delivery:
    """Of one environment's lines of so many days, in any order."""
    lines = sorted(lines, key=lambda line: line.id)
    changes = [line for line in lines if line.status != "started" and line.rollback_of is None]
    delivered = [line for line in changes if line.status == "succeeded"]
    failures = [line for line in changes if line.status != "succeeded"]
    leads = list(_lead_times(delivered))
    restores = list(_restores(failures, lines))
    return Delivery(
        deployments=len(delivered),
        deployments_a_day=round(len(delivered) / days, 3),
        lead_time_seconds=median(leads) if leads else None,
        lead_times=len(leads),
        changes=len(changes),
        failures=len(failures),
        change_failure_rate=round(len(failures) / len(changes), 3) if changes else None,
        restore_seconds=median(restores) if restores else None,
        restores=len(restores),
        unrestored=len(failures) - len(restores),
    )


def _lead_times(delivered: Sequence[Deployment]) -> Iterator[float]:
    for line in delivered:
        if line.committed_at and line.completed_at:
            yield (line.completed_at - line.committed_at).total_seconds()


def _restores(failures: Sequence[Deployment], lines: Sequence[Deployment]) -> Iterator[float]:
    """Until the next line that succeeded and was not itself taken back."""
    for failure in failures:
        good = (line for line in lines if line.id > failure.id and line.status == "succeeded")
        if (after := next(good, None)) and after.completed_at:
            yield (after.completed_at - failure.started_at).total_seconds()

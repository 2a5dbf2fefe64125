"""The four figures of delivery, from ledgers that fit on one line."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.delivery import Delivery, figures
from {{ cookiecutter.package_name }}.ledger import Deployment

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
Line = tuple[str, int, int | None]
"""A status, the hour in which it began, and the age of its commit then, in hours."""
GOOD, BAD, BACK, NOW = "succeeded", "failed", "rolled_back", "started"
NOTHING = {
    "deployments": 0,
    "deployments_a_day": 0,
    "lead_time_seconds": None,
    "lead_times": 0,
    "changes": 0,
    "failures": 0,
    "change_failure_rate": None,
    "restore_seconds": None,
    "restores": 0,
    "unrestored": 0,
}


def ledger(*lines: Line) -> list[Deployment]:
    """Each takes half an hour, unless it has not ended."""
    return [
        Deployment(
            id=number,
            version=f"1.0.{number}",
            environment="production",
            status=status,
            started_at=(began := MONDAY + hour * HOUR),
            completed_at=None if status == NOW else began + HOUR / 2,
            committed_at=None if age is None else began - age * HOUR,
        )
        for number, (status, hour, age) in enumerate(lines, 1)
    ]


FREQUENCY: list[tuple[Sequence[Line], float]] = [
    ([(GOOD, 0, None)], 0.1),
    ([(GOOD, 0, None), (GOOD, 1, None), (GOOD, 100, None)], 0.3),
    ([(GOOD, 0, None), (BAD, 1, None), (BACK, 2, None), (NOW, 3, None)], 0.1),
]
LEAD: list[tuple[Sequence[Line], float | None]] = [
    ([(GOOD, 0, None)], None),
    ([(GOOD, 0, 2)], 2.5),
    ([(GOOD, 0, 2), (GOOD, 9, 4), (GOOD, 10, 90)], 4.5),
    ([(GOOD, 0, 2), (GOOD, 9, 4)], 3.5),
    ([(GOOD, 0, 2), (GOOD, 9, None), (BAD, 10, 9), (BACK, 11, 9)], 2.5),
]
FAILURES: list[tuple[Sequence[Line], float | None]] = [
    ([(NOW, 0, None)], None),
    ([(GOOD, 0, None)], 0),
    ([(GOOD, 0, None), (BAD, 1, None), (BACK, 2, None), (GOOD, 3, None)], 0.5),
    ([(BAD, 0, None), (NOW, 1, None)], 1),
]
RESTORES: list[tuple[Sequence[Line], float | None, int]] = [
    ([(GOOD, 0, None)], None, 0),
    ([(BAD, 0, None)], None, 1),
    ([(BAD, 0, None), (NOW, 1, None)], None, 1),
    ([(BAD, 0, None), (GOOD, 1, None)], 1.5, 0),
    ([(BACK, 0, None), (BACK, 1, None), (GOOD, 4, None)], 4, 0),
    ([(BAD, 0, None), (GOOD, 1, None), (BAD, 5, None)], 1.5, 1),
]


def test_of_nothing_there_is_nothing_to_tell() -> None:
    assert asdict(figures([], days=30)) == NOTHING


@pytest.mark.parametrize(("lines", "a_day"), FREQUENCY)
def test_a_deployment_counts_once_it_has_succeeded(lines: Sequence[Line], a_day: float) -> None:
    assert figures(ledger(*lines), days=10).deployments_a_day == a_day


@pytest.mark.parametrize(("lines", "hours"), LEAD)
def test_the_lead_time_is_from_the_commit_to_its_end(
    lines: Sequence[Line], hours: float | None
) -> None:
    told = figures(ledger(*lines), days=30).lead_time_seconds
    assert told == (None if hours is None else hours * 3600)


@pytest.mark.parametrize(("lines", "rate"), FAILURES)
def test_what_failed_or_was_taken_back_is_a_failure(
    lines: Sequence[Line], rate: float | None
) -> None:
    assert figures(ledger(*lines), days=30).change_failure_rate == rate


@pytest.mark.parametrize(("lines", "hours", "unrestored"), RESTORES)
def test_a_failure_lasts_until_something_has_succeeded(
    lines: Sequence[Line], hours: float | None, unrestored: int
) -> None:
    told = figures(ledger(*lines), days=30)
    assert told.restore_seconds == (None if hours is None else hours * 3600)
    assert told.unrestored == unrestored


def test_a_rollback_restores_and_is_no_change_of_its_own() -> None:
    bad, back = ledger((BACK, 0, 8), (GOOD, 1, 99))
    told = figures([replace(back, rollback_of=bad.id), bad], days=30)
    expected: dict[str, Any] = {"changes": 1, "failures": 1, "change_failure_rate": 1}
    expected |= {"restore_seconds": 5400, "restores": 1}
    assert told == Delivery(**NOTHING | expected)

"""What is true of the whole system, as /metrics tells it."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from {{ cookiecutter.package_name }}.agent.session import Status
from {{ cookiecutter.package_name }}.errors import Unavailable
from {{ cookiecutter.package_name }}.telemetry import standing
from {{ cookiecutter.package_name }}.telemetry.standing import Standing

LANE = {"lane": "default", "queued": 3, "age": 7.5, "stalled": 1, "workers": 2}


class Database:
    """Answers until it is away; each answer takes its time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = 0.0
        self.fault: Exception | None = None
        self.asked: list[str] = []
        self.registry = CollectorRegistry()
        looks = (self.work, self.census, lambda: 2)
        self.registry.register(Standing(*looks, clock=lambda: self.now))

    def work(self) -> list[dict[str, Any]]:
        self.asked.append("work")
        if self.fault:
            raise self.fault
        return [LANE]

    def census(self) -> dict[Status, int]:
        self.asked.append("census")
        self.now += self.takes
        return {"idle": 9}

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def test_lanes_and_sessions_are_told_by_name() -> None:
    database = Database()
    assert database.value("database_answers") == 1
    told = {name: database.value(name, lane="default") for name in standing.LANES}
    assert list(told.values()) == [3, 7.5, 1, 2]
    assert database.value("sessions", status="idle") == 9
    assert database.value("sessions", status="failed") == 0
    assert database.value("dead_letters") == 2


def test_the_database_is_not_asked_at_every_scrape() -> None:
    database = Database()
    for database.now in (0, 1, 4.9):
        generate_latest(database.registry)
    assert database.asked == ["work", "census"]
    database.now = 5
    generate_latest(database.registry)
    assert database.asked == ["work", "census"] * 2


def test_the_longer_a_count_takes_the_more_rarely_it_is_made() -> None:
    database = Database()
    database.takes = 0.5
    for database.now in range(0, 60, 5):
        generate_latest(database.registry)
    assert database.asked.count("work") > 10
    assert database.asked.count("census") == 2


@pytest.mark.parametrize("fault", [Unavailable("away"), TimeoutError(), ZeroDivisionError("ours")])
def test_metrics_are_told_where_the_database_is_away(fault: Exception) -> None:
    database = Database()
    database.fault = fault
    assert generate_latest(database.registry).decode().splitlines()[2:] == ["database_answers 0.0"]
    assert database.asked == ["work"], "the second would wait as long"
    database.fault, database.now = None, 5
    assert database.value("database_answers") == 1


def test_a_database_that_hangs_holds_up_no_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "ANSWER_SECONDS", 0.01)

    async def scenario() -> None:
        asked = standing.on(asyncio.get_running_loop(), asyncio.Event().wait)
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(asked)

    asyncio.run(scenario())

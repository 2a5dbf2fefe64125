"""SCHEDULES: what is taken is what the scheduler can do, and what is not is named."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.entrypoints.scheduler import JOBS, Scheduler, _crontab, _next
from {{ cookiecutter.package_name }}.errors import ConfigError, Unavailable
from {{ cookiecutter.package_name }}.schedules import read_schedules
from {{ cookiecutter.package_name }}.settings import Settings

from ..conftest import SECRET

LAST = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DUE = {
    "0 7 * * *": datetime(2026, 1, 2, 7, 0, tzinfo=UTC),
    "*/15 * * * *": datetime(2026, 1, 2, 3, 15, tzinfo=UTC),
    "5-10/5,40 2,3 * * *": datetime(2026, 1, 2, 3, 5, tzinfo=UTC),
    "0 0 1 * *": datetime(2026, 2, 1, tzinfo=UTC),
    "30 6 * * 1-5": datetime(2026, 1, 2, 6, 30, tzinfo=UTC),
    "0 9 29 2 *": datetime(2028, 2, 29, 9, 0, tzinfo=UTC),
}
ALL_DAYS = ["0 7 * * 1", "0 7 1-31 * 1", "0 7 1 * 0-6", "0 7 */1 * 1-5", "0 7 31 2,3 *"]
NONE = [
    "hello",
    "* * * * * | slack:C1",
    "* * * * * | slack:C1 | ",
    "* * * * | slack:C1 | hello",
    "60 * * * * | | hello",
    "* 24 * * * | | hello",
    "* * 0 * * | | hello",
    "* * * * 7 | | hello",
    "5-2 * * * * | | hello",
    "*/0 * * * * | | hello",
    "*/99 * * * * | | hello",
    "mon * * * * | | hello",
    "0 0 31 2 * | | hello",
    "0 0 30-31/1 2 * | | hello",
    "0 0 31 2-4/2,6,9,11 * | | hello",
    "0 7 1 * 1 | | hello",
    "0 7 */2 * 1-5 | | hello",
    "* * * * * | C0123 | hello",
    "* * * * * | slack: | hello",
    "0 7 * * * | | fine; 0 7 * * * | nowhere | not",
]


@pytest.mark.parametrize("cron", DUE)
def test_a_schedule_is_due_at_the_same_moment_in_each_process(cron: str) -> None:
    (schedule,) = read_schedules(f"{cron} | | hello")
    assert _next(_crontab(schedule.cron), LAST) == DUE[cron]
    later = LAST + timedelta(milliseconds=900)
    assert _next(_crontab(schedule.cron), later) == DUE[cron]
    assert schedule.session_at(DUE[cron]) == schedule.session_at(_next(_crontab(cron), later))


@pytest.mark.parametrize("cron", ALL_DAYS)
def test_what_leaves_no_doubt_about_its_days_is_taken(cron: str) -> None:
    (schedule,) = read_schedules(f"{cron} | | hello")
    assert _next(_crontab(schedule.cron), LAST) > LAST


@pytest.mark.parametrize(
    ("cron", "told"),
    [("0 0 31 2 *", "is never due"), ("0 7 1 * 1", "names days and weekdays")],
)
def test_days_that_no_month_has_and_days_in_doubt_are_told_apart(cron: str, told: str) -> None:
    with pytest.raises(ValueError, match=rf"'{re.escape(cron)}' {told}"):
        read_schedules(f"* * * * * | | fine; {cron} | | not")


class Away:
    """The store of the jobs, which goes away once, in the middle of being read; we lead."""

    def __init__(self) -> None:
        self.asked = 0

    async def last_run(self, _: str) -> datetime:
        self.asked += 1
        if self.asked == len(JOBS):
            raise Unavailable("the database restarts")
        return LAST

    async def leads(self) -> bool:
        return True


def test_a_database_that_goes_away_while_jobs_are_read_costs_none_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {"DATABASE_URL": "postgresql://db/app", "SECRET_KEY": SECRET}
    for name, value in (given | {"SCHEDULES": "* * * * * | | hello"}).items():
        monkeypatch.setenv(name, value)
    scheduler, away = Scheduler(Settings.load()), Away()
    app: Any = SimpleNamespace(jobs=away, leader=away)

    async def led() -> bool:
        with pytest.raises(Unavailable):
            await scheduler._leads(app)  # noqa: SLF001
        return await scheduler._leads(app)  # noqa: SLF001

    assert asyncio.run(led())
    assert len(scheduler._due) == len(JOBS) + 1  # noqa: SLF001


def test_schedules_are_parted_and_the_text_may_hold_what_parts_their_parts() -> None:
    first, second = read_schedules("0 7 * * 1-5 | slack:C1 | a | b ;\n */5 * * * * | | c;")
    assert (first.cron, first.to, first.text) == ("0 7 * * 1-5", "slack:C1", "a | b")
    assert (second.cron, second.to, second.text) == ("*/5 * * * *", "", "c")
    assert first.name != second.name
    assert first.session_at(LAST) != second.session_at(LAST)
    assert first.session_at(LAST) != first.session_at(LAST + timedelta(minutes=1))


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_schedule_is_named_when_the_process_starts(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("SCHEDULES", text)
    with pytest.raises(ConfigError, match=r"SCHEDULES=(.|\n)* is not usable: '"):
        Settings.load()


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("APPROVALS_TO", "slack:C1", "'slack:C1' needs SLACK_BOT_TOKEN"),
        ("APPROVALS_TO", "webhook:https://a.example,pigeon:7", "'pigeon:7' is of no channel"),
        ("SCHEDULES", "* * * * * | mail:a@b | hello", "'mail:a@b' needs SMTP_URL"),
    ],
)
def test_a_channel_that_nothing_turns_on_is_a_fault_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    given = {"DATABASE_URL": "postgresql://db/app", "SECRET_KEY": SECRET, "WEBHOOKS": "ops"}
    for name, text in {**given, variable: value}.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError) as fault:
        Settings.load()
    (line,) = str(fault.value).splitlines()
    assert line.startswith(f"{variable}={value} is not usable: {told}")


@pytest.mark.parametrize("names", ["ops@example.com", "slack: C1", "slack", "slack:C1,,mail:a"])
def test_who_decides_is_named_with_a_channel(names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("APPROVALS_TO", names)
    with pytest.raises(ConfigError, match="APPROVALS_TO"):
        Settings.load()

"""The judge of plans: these tests send nothing wrong, and it would say so if they did."""

import asyncio

import pytest

from {{ cookiecutter.package_name }}.adapters.figures import ASKED, FIRST, WAITING
from {{ cookiecutter.package_name }}.bootstrap import running
from {{ cookiecutter.package_name }}.settings import Settings

from .plans import READS_ALL, Plans, judge

ID = "00000000-0000-0000-0000-000000000000"
GOOD: dict[str, dict[str, object]] = {
    "SELECT * FROM sessions WHERE id = %(id)s": {"id": ID},
    "SELECT id FROM sessions ORDER BY created_at DESC, id DESC LIMIT %(n)s": {"n": 9},
    "SELECT id FROM sessions WHERE status = 'ready' ORDER BY dispatched_at": {},
    "SELECT * FROM events e JOIN sessions s ON s.id = e.session_id WHERE s.id = %(id)s": {"id": ID},
    "DELETE FROM effects WHERE session_id = %(id)s": {"id": ID},
    "SELECT * FROM jobs": {},
    WAITING: {"owner": "x"},
    ASKED: {"owner": "x", "at": FIRST[0], "id": FIRST[1], "limit": 9},
}
BAD = {
    "SELECT * FROM sessions WHERE title = %(title)s": "reads all of sessions",
    "SELECT id FROM sessions WHERE tokens > 7 ORDER BY created_at": "reads all of sessions by",
    "SELECT count(*) FROM events": "reads all of events",
    "SELECT seq FROM events ORDER BY data LIMIT 1": "reads all of events",
    "UPDATE sessions SET seq = 0 WHERE lane = %(lane)s": "reads all of sessions",
    "SELECT * FROM effects f JOIN sessions s ON s.title = f.key WHERE f.key = 'x'": "sessions",
    "WITH s AS (DELETE FROM deployments WHERE version = %(v)s RETURNING 1) TABLE s": "deployments",
}


@pytest.mark.parametrize("sql", GOOD)
def test_what_an_index_serves_is_well(untouched_database: str, sql: str) -> None:
    assert judge(untouched_database, sql, GOOD[sql]) == []


@pytest.mark.parametrize("sql", BAD)
def test_what_no_index_serves_is_seen(untouched_database: str, sql: str) -> None:
    values = {"title": "x", "lane": "x", "v": "x"}
    (fault,) = judge(untouched_database, sql, values)
    assert BAD[sql] in fault


def test_a_statement_of_an_adapter_is_noted_by_itself_and_judged_once(
    settings: Settings, untouched_database: str
) -> None:
    """A recorder of its own, or what is sent here would count."""
    plans = Plans(untouched_database)

    async def act() -> None:
        async with running(settings, "test") as app:
            await app.service.start()
            await app.reports.activity(*[app.service.clock()] * 2)
            await app.service.sessions.forget(older_than=app.upkeep.retention)
            await app.jobs._database.rows("SELECT FROM sessions WHERE title = 'x'")  # noqa: SLF001

    with plans.recording():
        asyncio.run(act())
    assert plans.faults() == ["reads all of sessions: SELECT FROM sessions WHERE title = 'x'"]
    assert plans.faults() == []
    assert len(plans.judged) > len(READS_ALL) + 2


@pytest.mark.parametrize("sql", READS_ALL)
def test_what_is_let_through_needs_to_be(untouched_database: str, sql: str) -> None:
    """An exception that an index made needless would hide the next fault."""
    assert judge(untouched_database, sql)

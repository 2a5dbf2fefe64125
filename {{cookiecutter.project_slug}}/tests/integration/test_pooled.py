"""The service behind PgBouncer in transaction mode; `make pooled` runs all these tests so."""

import asyncio
import signal
import time
from collections.abc import Callable

import pytest

from {{ cookiecutter.package_name }}.adapters.postgres import Postgres
from {{ cookiecutter.package_name }}.adapters.terms import Terms
from {{ cookiecutter.package_name }}.errors import Unavailable

from ..pooler import pooled
from ..processes import Process, eventually
from .conftest import Database
from .test_terms import ASLEEP, scenario
from .test_worker import SLOW, kinds, until, until_claimed

Start = Callable[..., Process]
OFTEN = 12


@pytest.fixture
def environment(pooler: str, database_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": pooled(database_url, pooler),
        "DATABASE_DIRECT_URL": database_url,
        "DATABASE_PREPARE": "off",
    }


@pytest.mark.factor("IV", "VI")
def test_behind_a_pooler_messages_are_answered_and_a_killed_worker_loses_nothing(
    environment: dict[str, str], start: Start, database: Database
) -> None:
    web = start("serve", **environment).healthy(path="/ready")
    scheduler = start("schedule", **environment).healthy().logged("scheduler leads")
    worker = start("work", **environment).logged("worker started").healthy()
    session = web.post("/chat/sessions").headers["location"]
    for number in range(OFTEN):  # more often than it takes to prepare a statement
        said = web.post(f"{session}/messages", {"text": f"hello {number}"})
        assert said.json()["response"] == f"I hear: hello {number}"
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0, worker.output

    doomed = start("work", MODEL=SLOW, **environment).logged("worker started")
    web.post(f"{session}/messages", {"text": "last words"}, prefer="respond-async")
    id_ = session.rpartition("/")[2]
    until_claimed(database, id_)
    start("work", **environment).logged("worker started")
    doomed.signal(signal.SIGKILL)
    killed = time.monotonic()
    until(database, id_, "idle")
    assert time.monotonic() - killed < 5, "by its lock, which is held past the pooler"
    assert "dead processes buried" in scheduler.output
    assert kinds(database, id_).count("agent_answered") == OFTEN + 1


def test_what_takes_too_long_is_cancelled_behind_a_pooler_too(
    environment: dict[str, str], database: Database
) -> None:
    async def act(store: Postgres) -> None:
        with pytest.raises(Unavailable, match=r"over 0\.2 s"):
            await store.rows("SELECT pg_sleep(60)")
        many = (store.rows("SELECT %(number)s::int AS n", number=n) for n in range(100))
        assert [rows[0]["n"] for rows in await asyncio.gather(*many)] == [*range(100)]

    terms = Terms(prepare=False, is_pooled=True, statement_seconds=0.2)
    scenario(act, environment["DATABASE_URL"], terms)
    asleep = ["SELECT pg_sleep%"]
    eventually(lambda: not database.execute(ASLEEP, asleep).fetchone(), "the server has ended it")

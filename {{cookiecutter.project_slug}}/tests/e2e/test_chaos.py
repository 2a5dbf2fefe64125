"""A small storm: what `make chaos` does at full size, and that its judge would see any harm."""

from collections.abc import Iterator

import pytest

from tools.chaos.audit import Audit, audit
from tools.chaos.plan import Plan, make_plan
from tools.chaos.storm import Deploy, rage
from tools.chaos.witness import Witness

STEPS = 5
SIZES = {"worker": 2, "web": 1, "scheduler": 1}
CUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
COPY = """INSERT INTO events (session_id, seq, version, data)
    SELECT session_id, 1 + (SELECT max(seq) FROM events e WHERE e.session_id = f.session_id),
        version, data
    FROM events f WHERE session_id = %(id)s AND data->>'kind' = %(kind)s LIMIT 1"""
AGAIN = """INSERT INTO deployments (version, environment, commit)
    SELECT version, environment, commit FROM deployments LIMIT 1"""


@pytest.fixture
def witness(own_database: str) -> Iterator[Witness]:
    with Witness(own_database) as witness:
        yield witness


def small_plan(seed: int) -> Plan:
    return make_plan(
        seed, sizes=SIZES, sessions=100, kills=4, crashes=1, purges=1, seconds=2, ms=(10, 100)
    )


def test_the_seed_alone_makes_the_plan() -> None:
    assert small_plan(seed=1) == small_plan(seed=1) != small_plan(seed=2)


@pytest.mark.factor("VI", "IX")
def test_a_storm_loses_nothing_and_does_nothing_twice(own_database: str, witness: Witness) -> None:
    deploy = Deploy.on(own_database, crash=lambda: _cut(witness))
    outcome = rage(small_plan(seed=23470), deploy, steps=STEPS, sizes=SIZES)
    assert outcome.kills.total() == 4
    assert (outcome.audit.lost, outcome.refused, outcome.unanswered) == ([], [], 0)
    assert (outcome.audit.doubled, outcome.audit.said_twice) == (0, 0)
    assert outcome.leaks == []
    assert outcome.recovery, "some worker died with its hands full"
    _sees_harm(witness)


def _cut(witness: Witness) -> None:
    """For the sessions it is a crash; the server has other tests to serve."""
    witness.rows(CUT)


def _sees_harm(witness: Witness) -> None:
    sessions = [row[0] for row in witness.rows("SELECT id::text FROM sessions WHERE seq > 1")]

    def judged() -> Audit:
        return audit(witness, sessions, steps=STEPS)

    first, second, third, *_ = sessions
    witness.rows("DELETE FROM events WHERE session_id = %(id)s AND seq = 4", id=first)
    assert len(judged().lost) == 1
    witness.rows(COPY, id=second, kind="tool_returned")
    assert len(judged().lost) == 2
    witness.rows("UPDATE sessions SET status = 'ready' WHERE id = %(id)s", id=third)
    assert len(judged().lost) == 3
    witness.rows(COPY, id=third, kind="user_spoke")
    assert judged().said_twice == 1
    witness.rows(AGAIN)
    assert judged().doubled == 1

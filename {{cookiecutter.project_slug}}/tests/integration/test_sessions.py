"""The store of sessions, on a real database."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from {{ cookiecutter.package_name }}.adapters.postgres import Postgres
from {{ cookiecutter.package_name }}.adapters.processes import PostgresProcesses
from {{ cookiecutter.package_name }}.adapters.sessions import PostgresSessions
from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.errors import Unavailable
from {{ cookiecutter.package_name }}.service import OPERATOR

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AGE = """UPDATE sessions
    SET created_at = now() - interval '31 days', updated_at = now() - interval '31 days'"""
ABOUT = {"kind": "worker", "release": "r", "lane": "default"}
STARTED = e.SessionStarted(at=NOW, agent="release", prompt="v1")
SPOKE = e.UserSpoke(at=NOW, text="hello")
ANSWERED = e.AgentAnswered(at=NOW, text="hi")
THOUGHT = e.ModelAnswered(at=NOW, seen=2, model="m", text="hi")
WEEK = datetime.now(UTC) + timedelta(days=7)
CALL = e.Call(id="c1", tool="deploy", arguments={})
ASKED = e.ToolRequested(at=NOW, call=CALL, permission="ask", expires_at=WEEK)


class Store:
    """The adapters as a worker has them, on one pool."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = Postgres(url, pool_size=4, application="store")
        self.sessions = PostgresSessions(self.database)
        self.process = self.another()

    def another(self, **about: str) -> PostgresProcesses:
        about = ABOUT | about
        return PostgresProcesses(self.database, self.url, application="store", about=about)

    async def started(self, *events: e.AnyEvent) -> Thread:
        thread = Thread.of(str(uuid4()), [STARTED, *events])
        await self.sessions.start(thread, thread.events, metadata={}, whose=OPERATOR)
        return thread

    async def commit(self, thread: Thread, *events: e.AnyEvent, owner: int) -> bool:
        after = thread.after(THOUGHT, ANSWERED)
        return await self.sessions.commit(after, events, owner=owner, release=True)


def scenario(act: Callable[[Store], Awaitable[None]], url: str) -> None:
    async def run() -> None:
        store = Store(url)
        await store.database.open()
        try:
            await act(store)
        finally:
            await store.process.close()
            await store.database.close()

    asyncio.run(run())


def test_a_session_is_loaded_as_it_was_appended(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started()
        assert await store.sessions.append(thread, SPOKE)
        assert await store.sessions.load(thread.id) == thread.after(SPOKE)
        stored = await store.sessions.events(thread.id, after=1, limit=10)
        assert [(s.seq, s.event) for s in stored] == [(2, SPOKE)]
        summary = await store.sessions.summary(thread.id)
        assert summary
        assert (summary.status, summary.title) == ("ready", "hello")
        assert await store.sessions.load(str(uuid4())) is None

    scenario(act, database_url)


def test_of_two_writers_at_one_place_one_wins(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started()
        won = await asyncio.gather(*(store.sessions.append(thread, SPOKE) for _ in range(8)))
        assert sorted(won) == [False] * 7 + [True]

    scenario(act, database_url)


def test_24_messages_with_one_key_are_one_event(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started()

        async def say() -> bool:
            now = await store.sessions.load(thread.id)
            assert now
            return await store.sessions.append(now, SPOKE, key="webhook-7")

        won = await asyncio.gather(*(say() for _ in range(24)))
        assert won.count(True) == 1
        found = await store.sessions.find(thread.id, "webhook-7")
        assert found
        assert found.seq == 2
        assert len(await store.sessions.events(thread.id, after=0, limit=10)) == 2

    scenario(act, database_url)


def test_a_session_that_begins_with_a_message_knows_its_key_and_begins_once(
    database_url: str,
) -> None:
    async def act(store: Store) -> None:
        thread = Thread.of(str(uuid4()), [STARTED, SPOKE])
        how: dict[str, Any] = {"metadata": {}, "whose": OPERATOR, "key": "k"}
        began = [await store.sessions.start(thread, thread.events, **how) for _ in range(2)]
        assert began == [True, False]
        found = await store.sessions.find(thread.id, "k")
        assert found
        assert (found.seq, found.event) == (2, SPOKE)
        claimed = await store.sessions.claim(thread.id, owner=await store.process.beat())
        assert claimed == thread

    scenario(act, database_url)


def test_one_process_of_many_claims_and_only_its_commits_count(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started(SPOKE)
        mine, other = await store.process.beat(), store.another()
        theirs = await other.beat()
        owners = [mine, theirs] * 4
        claims = await asyncio.gather(
            *(store.sessions.claim(thread.id, owner=owner) for owner in owners)
        )
        (winner,) = [owner for owner, claim in zip(owners, claims, strict=True) if claim]
        loser = theirs if winner == mine else mine
        assert not await store.commit(thread, THOUGHT, ANSWERED, owner=loser)
        assert await store.commit(thread, THOUGHT, ANSWERED, owner=winner)
        assert not await store.commit(thread, THOUGHT, ANSWERED, owner=winner)
        assert await store.sessions.load(thread.id) == thread.after(THOUGHT, ANSWERED)
        assert await store.sessions.claim(thread.id, owner=mine) is None, "nothing is to do"
        await other.close()

    scenario(act, database_url)


def test_commits_written_together_fail_each_for_itself(database_url: str) -> None:
    async def act(store: Store) -> None:
        owner = await store.process.beat()
        threads = [await store.started(SPOKE) for _ in range(100)]
        for thread in threads[1:]:
            await store.sessions.claim(thread.id, owner=owner)
        done = await asyncio.gather(
            *(store.commit(thread, THOUGHT, ANSWERED, owner=owner) for thread in threads)
        )
        assert done == [False] + [True] * 99
        huge = ANSWERED.model_copy(update={"text": "\\u0000"})  # what no event is made with
        object.__setattr__(huge, "text", "\0")
        bad, good = threads[0], await store.started(SPOKE)
        for thread in (bad, good):
            await store.sessions.claim(thread.id, owner=owner)
        results = await asyncio.gather(
            store.commit(bad, huge, owner=owner),
            store.commit(good, THOUGHT, ANSWERED, owner=owner),
            return_exceptions=True,
        )
        assert isinstance(results[0], psycopg.DataError)
        assert results[1] is True

    scenario(act, database_url)


@pytest.mark.factor("VI")
def test_what_a_dead_process_held_is_free_as_soon_as_it_is_buried(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started(SPOKE)
        doomed = store.another()
        owner = await doomed.beat()
        assert await store.sessions.claim(thread.id, owner=owner)
        assert await store.process.bury() == 0
        assert await store.sessions.claim_stale(limit=10) == []
        with psycopg.connect(database_url, autocommit=True) as beside:
            beside.execute(
                """SELECT pg_terminate_backend(pid, 5000)
                FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory'
                    AND objid = %s AND datname = current_database()""",
                [owner],
            )
        assert await store.process.bury() == 1
        assert await store.sessions.claim_stale(limit=10) == [(thread.id, "default")]
        me = await store.process.beat()
        assert await store.sessions.claim(thread.id, owner=me)
        assert not await store.commit(thread, ANSWERED, owner=owner)
        with pytest.raises(Unavailable):
            await doomed.beat()
        assert await doomed.beat() != owner, "it lives after all, as another"
        await doomed.close()

    scenario(act, database_url)


def test_a_process_that_was_buried_alive_claims_nothing_until_it_beats_again(
    database_url: str,
) -> None:
    """Or it would work on what it holds twice, under one id: both could append."""

    async def act(store: Store) -> None:
        thread, buried = await store.started(SPOKE), store.another()
        owner = await buried.beat()
        assert await store.sessions.claim(thread.id, owner=owner)
        await store.database.rows("DELETE FROM processes WHERE id = %(id)s", id=owner)
        assert await store.sessions.claim(thread.id, owner=owner) is None
        assert await store.sessions.claim(thread.id, owner=0) is None, "before the first beat"
        again = await buried.beat()
        assert again != owner
        assert await store.sessions.claim(thread.id, owner=again)
        assert not await store.commit(thread, THOUGHT, ANSWERED, owner=owner), "that one is over"
        assert await store.commit(thread, THOUGHT, ANSWERED, owner=again)
        await buried.close()

    scenario(act, database_url)


def test_what_a_removed_lane_has_left_is_soon_the_default_lane_s(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started(SPOKE)

        async def queued() -> list[tuple[str, str]]:
            sql = "UPDATE sessions SET dispatched_at = now() - interval '1 h' WHERE id = %(id)s"
            await store.database.rows(sql, id=thread.id)
            return await store.sessions.claim_stale(limit=10)

        async def waits_in(lane: str) -> None:
            sql = "UPDATE sessions SET lane = %(lane)s, dispatches = 0 WHERE id = %(id)s"
            await store.database.rows(sql, lane=lane, id=thread.id)

        await waits_in("beta")
        assert await queued() == [(thread.id, "beta")], "its worker may be starting again"
        assert await queued() == [(thread.id, "default")]
        left = await store.sessions.load(thread.id)
        assert left
        assert left.lane == "default", "for good: what is said next goes there at once"
        beta = store.another(lane="beta")
        await beta.beat()
        await waits_in("beta")
        for _ in range(5):
            assert await queued() == [(thread.id, "beta")], "it has a worker, which is busy"
        await beta.close()
        web = store.another(lane="beta", kind="web")
        await web.beat()
        assert await queued() == [(thread.id, "default")], "of which web is none"
        await web.close()

    scenario(act, database_url)


def test_a_process_that_vanished_with_its_host_is_buried_by_its_lease(database_url: str) -> None:
    async def act(store: Store) -> None:
        owner = await store.process.beat()
        with psycopg.connect(database_url, autocommit=True) as beside:
            beside.execute("UPDATE processes SET lease_until = now() - interval '1 s'")
        assert await store.process.bury() == 1
        assert await store.process.beat() > owner

    scenario(act, database_url)


def test_stale_sessions_are_queued_again_after_longer_and_longer_waits(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started(SPOKE)
        assert await store.sessions.claim_stale(limit=10) == []
        with psycopg.connect(database_url, autocommit=True) as beside:
            for wait in (6, 11, 21):
                age = "UPDATE sessions SET dispatched_at = now() - make_interval(secs => %s)"
                beside.execute(age, [wait - 2])
                assert await store.sessions.claim_stale(limit=10) == []
                beside.execute(age, [wait])
                assert await store.sessions.claim_stale(limit=10) == [(thread.id, "default")]

    scenario(act, database_url)


def test_a_session_let_go_for_a_while_is_nobodys_until_then(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started(SPOKE)
        owner = await store.process.beat()
        assert await store.sessions.claim(thread.id, owner=owner)
        await store.sessions.release(
            thread.id, owner=owner, wake_in=timedelta(hours=1), blameless=True
        )
        assert await store.sessions.claim(thread.id, owner=owner) is None
        assert await store.sessions.claim_stale(limit=10) == []
        with psycopg.connect(database_url, autocommit=True) as beside:
            beside.execute("UPDATE sessions SET wake_at = now()")
        assert await store.sessions.claim_stale(limit=10) == [(thread.id, "default")]
        assert await store.sessions.claim(thread.id, owner=owner)

    scenario(act, database_url)


def test_a_session_of_a_newer_release_is_left_to_newer_workers(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started(SPOKE)
        owner = await store.process.beat()
        with psycopg.connect(database_url, autocommit=True) as beside:
            beside.execute("UPDATE sessions SET schema = %s, attempts = 5", [e.SCHEMA + 1])
            assert await store.sessions.claim(thread.id, owner=owner) is None
            assert await store.sessions.poisonous(attempts=5, limit=10) == []
            assert await store.sessions.append(thread, SPOKE)  # as an older web process may
            assert await store.sessions.claim(thread.id, owner=owner) is None
            beside.execute("UPDATE sessions SET wake_at = now(), status = 'waiting'")
            assert await store.sessions.overdue(limit=10) == []
            beside.execute("UPDATE sessions SET schema = %s", [e.SCHEMA])
            assert await store.sessions.overdue(limit=10) == [thread.id]

    scenario(act, database_url)


def test_a_compacted_session_is_loaded_from_its_last_summary(database_url: str) -> None:
    async def act(store: Store) -> None:
        talk = [event for _ in range(20) for event in (SPOKE, ANSWERED)]
        thread = await store.started(*talk, SPOKE)
        owner = await store.process.beat()
        claimed = await store.sessions.claim(thread.id, owner=owner)
        assert claimed == thread
        state = thread.session.model_dump(mode="json")
        full = e.ContextCompacted(at=NOW, summary="talk", keep=3, state=state)
        assert await store.sessions.commit(thread.after(full), [full], owner=owner, release=False)
        held = await store.sessions.held(thread.id, owner=owner)
        assert held
        assert held == thread.after(full)
        assert len(held.events) == 4
        more: list[e.AnyEvent] = [THOUGHT, ANSWERED]
        assert await store.sessions.commit(held.after(*more), more, owner=owner, release=True)
        assert await store.sessions.load(thread.id) == held.after(*more)

    scenario(act, database_url)


def test_sessions_are_listed_newest_first_page_by_page(database_url: str) -> None:
    async def act(store: Store) -> None:
        made = [(await store.started()).id for _ in range(5)]
        newest: dict[str, Any] = {"owner": None, "status": None, "agent": None, "before": None}
        first = await store.sessions.list(**newest, limit=3)
        last = (first[-1].created_at, first[-1].id)
        same: dict[str, Any] = {"owner": "default", "status": "idle", "agent": "release"}
        rest = await store.sessions.list(**same, before=last, limit=3)
        assert [s.id for s in (*first, *rest)] == made[::-1]
        for other in ({"status": "failed"}, {"owner": "another"}, {"agent": "another"}):
            assert await store.sessions.list(**(newest | other), limit=3) == []

    scenario(act, database_url)


def test_deleted_and_forgotten_sessions_leave_nothing(database_url: str) -> None:
    async def act(store: Store) -> None:
        deleted, old, busy, waits = [
            await store.started(*said) for said in ([], [], [SPOKE], [SPOKE, THOUGHT, ASKED])
        ]
        assert await store.sessions.delete(deleted.id)
        assert not await store.sessions.delete(deleted.id)
        with psycopg.connect(database_url, autocommit=True) as beside:
            beside.execute(AGE)
            assert await store.sessions.forget(older_than=timedelta(days=30)) == 1
            left = beside.execute("SELECT DISTINCT session_id::text FROM events").fetchall()
        assert {session_id for (session_id,) in left} == {busy.id, waits.id}
        assert await store.sessions.load(old.id) is None

    scenario(act, database_url)


def test_an_old_session_that_is_spoken_to_just_then_is_not_forgotten(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started()
        with psycopg.connect(store.url, autocommit=True) as beside:
            beside.execute(AGE)
        async with await psycopg.AsyncConnection.connect(store.url) as speaking:
            spoke = "UPDATE sessions SET updated_at = now(), status = 'ready' WHERE id = %s"
            await speaking.execute(spoke, [thread.id])
            forgetting = asyncio.create_task(store.sessions.forget(older_than=timedelta(days=30)))
            async with asyncio.timeout(10):
                while not await store.database.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):
                    assert not forgetting.done()
        assert await forgetting == 0
        assert await store.sessions.load(thread.id)

    scenario(act, database_url)


class Counting(Postgres):
    asked = 0

    async def rows(self, sql: str, **values: object) -> list[dict[str, Any]]:
        self.asked += 1
        return await super().rows(sql, **values)


def test_another_owner_waits_as_long_for_a_session_as_for_none(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started()
        database = Counting(store.url, pool_size=1, application="store")
        sessions = PostgresSessions(database)
        await database.open()
        try:
            for _ in range(2):
                assert await sessions.belongs(thread.id, owner=OPERATOR.owner)
            assert database.asked == 1
            for session_id in (thread.id, str(uuid4())):
                database.asked = 0
                for _ in range(3):
                    assert not await sessions.belongs(session_id, owner="eve")
                assert database.asked == 3, "the time an answer takes would tell"
        finally:
            await database.close()

    scenario(act, database_url)


def test_a_pending_decision_keeps_nothing_else_of_the_session_waiting(database_url: str) -> None:
    async def act(store: Store) -> None:
        owner = await store.process.beat()
        thread = await store.started(SPOKE)
        assert await store.sessions.claim(thread.id, owner=owner)
        waiting = thread.after(THOUGHT, ASKED)
        asks = (THOUGHT, ASKED)
        assert await store.sessions.commit(waiting, asks, owner=owner, release=True)
        assert waiting.session.status == "waiting"
        assert await store.sessions.claim(thread.id, owner=owner) is None
        assert await store.sessions.append(waiting, SPOKE)
        assert await store.sessions.claim(thread.id, owner=owner)

    scenario(act, database_url)


def test_a_decision_of_a_fork_is_overdue_as_well(database_url: str) -> None:
    asked = ASKED.model_copy(update={"expires_at": NOW})

    async def act(store: Store) -> None:
        thread = await store.started(SPOKE, THOUGHT, asked)
        assert await store.sessions.overdue(limit=10) == [thread.id]
        with psycopg.connect(database_url, autocommit=True) as beside:
            beside.execute("UPDATE sessions SET schema = %s", [e.SCHEMA + 1])
        assert await store.sessions.overdue(limit=10) == []

    scenario(act, database_url)


def test_only_what_a_session_is_to_blame_for_counts_against_it(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started(SPOKE)
        owner = await store.process.beat()
        for blameless, poisonous in ((True, []), (False, [thread.id])):
            assert await store.sessions.claim(thread.id, owner=owner)
            await store.sessions.release(
                thread.id, owner=owner, wake_in=timedelta(0), blameless=blameless
            )
            assert await store.sessions.poisonous(attempts=1, limit=10) == poisonous

    scenario(act, database_url)


def test_what_could_not_be_queued_is_stale_at_once(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started(SPOKE)
        with psycopg.connect(database_url, autocommit=True) as beside:
            beside.execute("UPDATE sessions SET dispatched_at = 'epoch'")
        for _ in range(8):
            assert await store.sessions.claim_stale(limit=10) == [(thread.id, "default")]
            await store.sessions.put_back([thread.id])
        assert await store.sessions.claim_stale(limit=10) == [(thread.id, "default")]
        assert await store.sessions.claim_stale(limit=10) == []

    scenario(act, database_url)


def test_an_older_release_leaves_a_newer_session_to_the_newer(database_url: str) -> None:
    async def act(store: Store) -> None:
        thread = await store.started()
        with psycopg.connect(database_url, autocommit=True) as beside:
            beside.execute("UPDATE sessions SET schema = %s", [e.SCHEMA + 1])
        assert await store.sessions.append(thread, SPOKE)
        assert await store.sessions.claim(thread.id, owner=await store.process.beat()) is None

    scenario(act, database_url)

"""What the database says of the whole system."""

from datetime import timedelta
from typing import Any

import psycopg

from {{ cookiecutter.package_name }}.adapters.reports import PostgresReports

from .test_sessions import SPOKE, Store, scenario

OLD = """UPDATE sessions SET updated_at = now() - interval '700 s',
    dispatched_at = now() WHERE id = %s"""


def test_only_what_waits_for_a_worker_is_queued_and_only_what_stands_still_is_stalled(
    database_url: str,
) -> None:
    async def act(store: Store) -> None:
        reports = PostgresReports(store.database)

        async def lane() -> dict[str, Any]:
            (row,) = await reports.work(stalled=600)
            return {name: round(value) for name, value in row.items() if name != "lane"}

        assert await reports.work(stalled=600) == []
        owner = await store.process.beat()
        assert await lane() == {"queued": 0, "age": 0, "stalled": 0, "workers": 1}
        held, later, waits, _ = [await store.started(*s) for s in ([SPOKE], [SPOKE], [SPOKE], [])]
        for thread in (held, later):
            assert await store.sessions.claim(thread.id, owner=owner)
        await store.sessions.release(
            later.id, owner=owner, wake_in=timedelta(hours=1), blameless=True
        )
        assert await lane() == {"queued": 1, "age": 0, "stalled": 0, "workers": 1}
        with psycopg.connect(database_url, autocommit=True) as beside:
            for thread in (held, later, waits):
                beside.execute(OLD, [thread.id])
        assert await lane() == {"queued": 1, "age": 700, "stalled": 2, "workers": 1}
        await store.process.close()
        assert await lane() == {"queued": 2, "age": 700, "stalled": 2, "workers": 0}
        assert await reports.census() == {"ready": 3, "idle": 1}

    scenario(act, database_url)

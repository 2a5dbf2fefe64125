"""What KEDA asks the database before it adds a worker or takes one away."""

from datetime import timedelta

import psycopg
import yaml

from .plans import judge
from .test_sessions import SPOKE, Store, scenario
from tools.environments import PROJECT
from tools.manifests.build import FOLDER

SCALING = PROJECT / FOLDER / "components" / "keda" / "worker.yaml"


def query() -> str:
    scaled, _ = yaml.safe_load_all(SCALING.read_text())
    (trigger,) = scaled["spec"]["triggers"]
    return str(trigger["metadata"]["query"])


def test_what_wants_a_worker_of_the_default_lane_is_counted_and_nothing_else(
    database_url: str,
) -> None:
    async def act(store: Store) -> None:
        owner = await store.process.beat()
        _, held, later, other, _ = [
            await store.started(*said) for said in ([SPOKE], [SPOKE], [SPOKE], [SPOKE], [])
        ]
        for thread in (held, later):
            assert await store.sessions.claim(thread.id, owner=owner)
        await store.sessions.release(
            later.id, owner=owner, wake_in=timedelta(hours=1), blameless=True
        )
        with psycopg.connect(database_url, autocommit=True) as beside:
            lane = "UPDATE sessions SET lane = 'other' WHERE id = %s"
            beside.execute(lane, [other.id])
            assert beside.execute(query().encode()).fetchall() == [(2,)]
        await store.process.close()

    scenario(act, database_url)


def test_asking_reads_only_what_is_ready(database_url: str) -> None:
    assert judge(database_url, query()) == []

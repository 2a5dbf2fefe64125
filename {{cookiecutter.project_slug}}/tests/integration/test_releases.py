"""The release ledger as a pipeline uses it: by the commands alone."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from {{ cookiecutter.package_name }}.adapters.postgres import Postgres
from {{ cookiecutter.package_name }}.adapters.releases import (
    BEFORE,
    CURRENT,
    NEWEST,
    NOTE,
    SINCE,
    TAKE_BACK,
    PostgresReleases,
)
from {{ cookiecutter.package_name }}.entrypoints.cli import cli
from {{ cookiecutter.package_name }}.errors import AppError, Conflict, NotFound
from {{ cookiecutter.package_name }}.ledger import Release

from ..processes import Process
from .conftest import Database

DIGEST = "sha256:" + "ab" * 32
FACTS = ("--image", DIGEST, "--commit", "abc123", "--config", "c0ffee", "--by", "run 7")
pytestmark = pytest.mark.usefixtures("settings")


def run(*command: str) -> Result:
    return CliRunner().invoke(cli, ("release", *command))


def told(*command: str) -> Any:
    result = run(*command, "--json")
    assert result.exit_code == 0, result.output or result.exception
    return json.loads(result.stdout)


def record(where: str, version: str, *options: str) -> dict[str, Any]:
    line: dict[str, Any] = told("record", where, version, *FACTS, *options)[0]
    return line


def refused(*command: str) -> AppError:
    result = run(*command)
    assert isinstance(result.exception, AppError), result.output
    return result.exception


def succeed(where: str, version: str, *options: str) -> dict[str, Any]:
    return record(where, version, "--outcome", "succeeded", *options)


@pytest.mark.factor("V")
def test_a_release_is_recorded_with_all_that_it_is_made_of() -> None:
    record("production", "1.4.2", "--committed-at", "2026-01-02T03:04:05+01:00")
    line = succeed("production", "1.4.2")
    expected = {"version": "1.4.2", "image": DIGEST, "commit": "abc123", "config": "c0ffee"}
    expected |= {"deployed_by": "run 7", "committed_at": "2026-01-02T02:04:05Z"}
    assert line.items() >= expected.items()
    assert told("current", "production") == line
    assert f"image         {DIGEST}\n" in run("current", "production").stdout
    assert told("list") == [line]


def test_the_steps_of_a_deployment_are_one_line_however_often_they_are_repeated() -> None:
    began = record("production", "1.4.2", "--key", "run 7")
    for _ in range(2):
        done = succeed("production", "1.4.2", "--key", "run 7")
        assert (done["id"], done["status"]) == (began["id"], "succeeded")
    assert record("production", "1.4.2", "--key", "run 7") == done, "the line as it is now"
    assert record("staging", "1.4.2")["id"] != record("staging", "1.4.2", "--key", "8")["id"]
    assert len(told("list", "--environment", "production")) == 1


def test_a_key_says_one_thing_for_good() -> None:
    record("production", "1.4.2", "--key", "run 7", "--outcome", "failed")
    error = refused("record", "production", "1.4.3", *FACTS, "--key", "run 7")
    assert isinstance(error, Conflict)
    assert "which differs in version '1.4.3'" in str(error)
    command = ("record", "production", "1.4.2", *FACTS, "--key", "run 7")
    error = refused(*command, "--outcome", "succeeded")
    assert isinstance(error, Conflict)
    assert "is failed already: a deployment of the same release again has a --key" in str(error)


def test_a_release_without_its_parts_is_refused_by_their_names() -> None:
    result = run("record", "production", "1.4.2", "--by", "ada", "--commit", "abc")
    assert result.exit_code == 2
    assert "--image, --config is missing" in " ".join(result.stderr.split())


def test_what_is_rolled_back_gives_way_to_what_ran_before() -> None:
    for version in ("1.4.0", "1.4.1", "1.4.2"):
        succeed("production", version)
    record("production", "1.4.3", "--outcome", "failed")
    for _ in range(2):
        bad, good = told("record", "production", "1.4.2", "--outcome", "rolled-back", "--by", "ada")
        assert (bad["version"], bad["status"]) == ("1.4.2", "rolled_back")
        assert (good["version"], good["status"], good["image"]) == ("1.4.1", "succeeded", DIGEST)
        assert (good["rollback_of"], good["deployed_by"]) == (bad["id"], "ada")
    assert told("current", "production") == good
    assert len(told("list")) == 5
    assert "1.4.1             succeeded    ada, instead of line 3" in run("list").stdout


def test_it_can_be_rolled_back_to_a_named_version_that_was_good_once() -> None:
    for version in ("1.4.0", "1.4.1", "1.4.2"):
        succeed("production", version)
    back = ("record", "production", "1.4.2", "--outcome", "rolled-back", "--by", "ada")
    assert isinstance(refused(*back, "--to", "1.3.9"), NotFound)
    assert told("current", "production")["version"] == "1.4.2"
    assert told(*back, "--to", "1.4.0")[1]["version"] == "1.4.0"


def test_the_same_version_with_another_configuration_is_another_release() -> None:
    old = succeed("production", "1.4.2")
    command = [word.replace("c0ffee", "decade") for word in FACTS]
    (new,) = told("record", "production", "1.4.2", *command, "--outcome", "succeeded")
    back = ("record", "production", "1.4.2", "--outcome", "rolled-back", "--by", "ada")
    good = told(*back)[1]
    assert (good["config"], good["rollback_of"]) == (old["config"], new["id"])


def test_the_first_of_all_can_be_taken_back_too() -> None:
    record("production", "1.4.2", "--outcome", "failed")
    back = ("record", "production", "1.4.2", "--outcome", "rolled-back", "--by", "ada")
    assert [line["status"] for line in told(*back)] == ["rolled_back"]
    assert "nothing has succeeded in production" in str(refused("current", "production"))
    unknown = ("record", "production", "9.9.9", "--outcome", "rolled-back", "--by", "ada")
    assert "no deployment of 9.9.9 in production" in str(refused(*unknown))


def test_of_many_at_once_one_makes_the_line_and_one_the_rollback(database_url: str) -> None:
    async def act() -> None:
        store = Postgres(database_url, pool_size=8, application="releases")
        await store.open()
        releases = PostgresReleases(store)

        async def noted(version: str) -> int:
            facts = {"image": DIGEST, "config": "c", "commit": "d"}
            release = Release(version=version, environment="production", **facts)
            return (await releases.note(release, outcome="succeeded", by="ada")).id

        assert len(set(await asyncio.gather(*(noted("1.4.1") for _ in range(8))))) == 1
        await noted("1.4.2")
        back = (releases.take_back("production", "1.4.2", by="ada") for _ in range(8))
        assert len({good.id for _, good in await asyncio.gather(*back) if good}) == 1
        assert len(await releases.recent("production", limit=99)) == 3
        await store.close()

    asyncio.run(act())


def test_the_figures_are_told_of_what_is_in_the_ledger() -> None:
    empty = run("metrics").stdout
    assert "deployment frequency  0 in 30 days, 0 a day" in empty
    assert "lead time             unknown, the median of 0" in empty
    succeed("production", "1.4.1", "--committed-at", "2026-01-02")
    record("production", "1.4.2", "--outcome", "failed")
    succeed("staging", "1.4.3")
    found = told("metrics", "--days", "10")
    expected = {"environment": "production", "days": 10, "deployments": 1, "unrestored": 1}
    assert found.items() >= (expected | {"change_failure_rate": 0.5, "lead_times": 1}).items()
    text = run("metrics", "--days", "10").stdout
    assert "change failure rate   50.0%, 1 of 2" in text
    assert "time to restore       unknown, the median of 0, 1 not yet" in text


def test_what_is_older_is_not_counted(database: Database) -> None:
    succeed("production", "1.4.1")
    database.execute("UPDATE deployments SET started_at = now() - interval '31 days'")
    assert told("metrics")["deployments"] == 0
    assert told("metrics", "--days", "32")["deployments"] == 1


@pytest.mark.factor("XII")
def test_it_is_a_command_of_the_image_beside_the_service(
    start: Callable[..., Process],
) -> None:
    command = ("release", "record", "production", "1.4.2", *FACTS, "--outcome", "succeeded")
    with ThreadPoolExecutor() as pool:
        processes = list(pool.map(lambda _: start(*command), range(3)))
    assert [process.ended() for process in processes] == [0, 0, 0]
    assert len(told("list")) == 1


VALUES: dict[str, Any] = {"key": "k", "id": 1, "good": 1, "to": None, "by": "ada", "limit": 9}
VALUES |= {"version": "1", "environment": "e", "image": "i", "config": "c", "commit": "d"}
VALUES |= {"committed_at": None, "age": "30 days"}
INDEXES = [(NEWEST, "by_environment"), (CURRENT, "by_environment"), (SINCE, "by_environment")]
INDEXES += [(BEFORE, "by_environment"), (TAKE_BACK, "pkey"), (NOTE, "Conflict Arbiter Indexes")]


@pytest.mark.parametrize(("sql", "index"), INDEXES)
def test_every_query_of_the_ledger_has_its_index(
    untouched_database: str, sql: str, index: str
) -> None:
    with psycopg.connect(untouched_database, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        plan = str(connection.execute(f"EXPLAIN {sql}".encode(), VALUES).fetchall())
        assert f"deployments_{index}" in plan or index in plan
        assert "Sort" not in plan

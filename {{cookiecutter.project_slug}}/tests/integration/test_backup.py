"""The drill: all is backed up, lost, restored into an empty database, and goes on."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from {{ cookiecutter.package_name }}.adapters import archive
from {{ cookiecutter.package_name }}.adapters.archive import LEFT_OUT, Archive
from {{ cookiecutter.package_name }}.adapters.backup import Reader
from {{ cookiecutter.package_name }}.adapters.ledger import PostgresLedger
from {{ cookiecutter.package_name }}.adapters.schema import MIGRATIONS, Schema, new_migration
from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.bootstrap import App, engine, running
from {{ cookiecutter.package_name }}.entrypoints.cli import cli
from {{ cookiecutter.package_name }}.errors import AppError, Conflict, Unavailable
from {{ cookiecutter.package_name }}.service import OPERATOR
from {{ cookiecutter.package_name }}.settings import Settings

from ..fakes import FakeWitness
from ..processes import Process, eventually
from .conftest import Database

Start = Callable[..., Process]
REVISIONS = sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))
HEAD = REVISIONS[-1]
OURS = """SELECT table_name FROM information_schema.tables
    WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"""
COUNTS = "SELECT (SELECT count(*) FROM effects), (SELECT count(*) FROM deployments)"
STATUS = "SELECT id::text, status FROM sessions"
SAID = {"idle": "hello", "waiting": "risk", "paused": "hello", "cancelled": "hello"}
DEAD = 4711
GROWN = """CREATE TABLE a_child (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        parent text, doubled text GENERATED ALWAYS AS (parent || parent) STORED);
    CREATE TABLE "the Parent" (name text PRIMARY KEY);
    ALTER TABLE a_child ADD FOREIGN KEY (parent) REFERENCES "the Parent"; --"""
CHILDREN = """INSERT INTO "the Parent" VALUES ('Ada''s');
    INSERT INTO a_child (parent) SELECT 'Ada''s' FROM generate_series(1, 5);
    DELETE FROM a_child WHERE id > 1"""


@pytest.fixture(autouse=True)
def _settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of these tests run on the test's own database."""
    monkeypatch.setenv("MODEL", "scripted:echo")


class Goal:
    """Where backups are restored: a database without a table."""

    def __init__(self, url: str, database: Database, environment: pytest.MonkeyPatch) -> None:
        self.url = url
        self.execute = database.execute
        self._environment = environment

    @property
    def tables(self) -> set[str]:
        return {str(name) for (name,) in self.execute(OURS).fetchall()}

    def be_used(self) -> None:
        """By every command from now on."""
        self._environment.setenv("DATABASE_URL", self.url)

    def restore(self, file: BytesIO) -> dict[str, int]:
        file.seek(0)
        return Archive(self.url, release="r").restore(file, Schema(self.url))


@pytest.fixture
def goal(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Goal]:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        yield Goal(empty_database, connection, monkeypatch)


@pytest.fixture
def drill() -> dict[str, str]:
    """A session in each state, by its name; one broke off in the middle of an act."""

    async def whole() -> dict[str, str]:
        async with running(Settings.load(), "test") as app:
            return await lived(app)

    return asyncio.run(whole())


async def lived(app: App) -> dict[str, str]:
    service, worker = app.service, engine(Settings.load(), app, witness=FakeWitness())
    await app.processes.beat()
    names = {}
    for name, text in (SAID | {"booked": "book"}).items():
        names[name] = await service.start(metadata={"who": "Zoë\n\t\\N"})
        await service.say(names[name], text, key=f"{name}-1")
        await worker.advance(names[name])
    await service.pause(names["paused"], by="ada")
    await service.cancel(names["cancelled"], by="ada")
    names["asked"] = await service.start()
    await service.say(names["asked"], "hello")
    names["broken"] = await broken_off(app, names["booked"])
    return names


async def broken_off(app: App, booked: str) -> str:
    """Its worker died after the act, before the result was stored."""
    told = await app.service.events(booked, after=0, limit=100)
    begun = [stored.event for stored in told if stored.seq < 5]
    assert isinstance(begun[-1], e.ToolRequested), begun
    thread = Thread.of("00000000-0000-4000-8000-00000000000b", begun)
    await app.service.sessions.start(thread, begun, metadata={}, whose=OPERATOR)
    ledger = PostgresLedger(app.jobs._database)  # noqa: SLF001
    await ledger.record(
        key=f"{thread.id}:{begun[-1].call.id}", version="0.0.1", environment="staging"
    )
    return thread.id


def run(*command: str, given: bytes = b"") -> Result:
    result = CliRunner().invoke(cli, command, input=given)
    assert result.exit_code == 0, result.output or result.exception
    return result


def refused(*command: str) -> str:
    """The one line that the console script prints."""
    error = CliRunner().invoke(cli, command).exception
    assert isinstance(error, AppError), error
    assert "\n" not in str(error)
    return str(error)


def exported(sessions: dict[str, str]) -> dict[str, list[Any]]:
    """All that is told of each, but what says who works on it."""
    told = {name: run("sessions", "export", id_).stdout for name, id_ in sessions.items()}
    lines = {name: [json.loads(line) for line in text.splitlines()] for name, text in told.items()}
    for row, *_ in lines.values():
        for lease in ("lease_owner", "dispatched_at"):
            del row["row"][lease]
    return lines


def statuses(database: Goal, sessions: dict[str, str]) -> dict[str, object]:
    found = {str(id_): status for id_, status in database.execute(STATUS).fetchall()}
    return {name: found[id_] for name, id_ in sessions.items()}


@pytest.mark.factor("XII", "A5", "A6")
def test_what_was_restored_is_what_was_and_goes_on_and_runs_nothing_twice(
    drill: dict[str, str], database: Database, goal: Goal, start: Start, tmp_path: Path
) -> None:
    database.execute("UPDATE sessions SET lease_owner = %s WHERE status = 'ready'", [DEAD])
    database.execute("INSERT INTO deployments (version, environment) VALUES ('0.0.9', 'staging')")
    database.execute("DELETE FROM deployments WHERE version = '0.0.9'")
    before, counts = exported(drill), database.execute(COUNTS).fetchone()
    assert counts == (2, 2)
    file = str(tmp_path / "backup")
    assert "events " in run("backup", file).stderr
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0

    goal.be_used()
    assert f"sessions {len(drill)}" in run("restore", file).stderr
    assert exported(drill) == before
    assert goal.execute("SELECT DISTINCT lease_owner FROM sessions").fetchall() == [(None,)]
    processes = [start(name, DATABASE_URL=goal.url) for name in ("work", "schedule", "serve")]
    web = processes[-1].healthy()
    path = f"/chat/sessions/{drill['waiting']}"
    assert web.post(f"{path}/approvals/c1", {"approved": True}).status_code == 200
    wanted = dict.fromkeys(drill, "idle") | {"paused": "paused", "cancelled": "cancelled"}
    eventually(lambda: statuses(goal, drill) == wanted, "all that was to do is done")
    (told,) = web.get(f"{path}/history").json()["history"]
    assert (told["message"], told["response"]) == ("risk", "so it is: dared 1")
    (told,) = web.get(f"/chat/sessions/{drill['broken']}/history").json()["history"]
    assert told["response"] == "so it is: 2", "what the act gave the first time"
    assert goal.execute(COUNTS).fetchone() == counts
    again = web.post(f"/chat/sessions/{drill['idle']}/messages", {"text": "book"}).json()
    number = int(again["response"].removeprefix("so it is: "))
    assert number > 3, "not even the one of the line that was deleted is given twice"


def test_a_backup_is_of_one_moment_and_streams_through_any_pipe(
    drill: dict[str, str], database: Database, goal: Goal, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = archive._tables  # noqa: SLF001

    def and_meanwhile(connection: Any) -> dict[str, list[str]]:
        found = tables(connection)
        database.execute("DELETE FROM events WHERE session_id = %s", [drill["idle"]])
        return found

    before = exported(drill)
    with monkeypatch.context() as while_it_runs:
        while_it_runs.setattr(archive, "_tables", and_meanwhile)
        data = run("backup", "-").stdout_bytes
    goal.be_used()
    run("restore", "-", given=data)
    assert exported(drill) == before
    assert goal.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)


@pytest.mark.usefixtures("drill")
def test_restore_refuses_what_is_not_empty_and_says_what_is_there(
    database: Database, goal: Goal, tmp_path: Path
) -> None:
    file = str(tmp_path / "backup")
    run("backup", file)
    before = database.execute("SELECT count(*) FROM events").fetchone()
    said = refused("restore", file)
    assert (
        "it has rows in api_keys, deployments, effects, events, sessions: nothing was changed"
        in said
    )
    assert database.execute("SELECT count(*) FROM events").fetchone() == before
    goal.execute("CREATE TABLE orders ()")
    goal.be_used()
    assert "it has tables orders: nothing was changed" in refused("restore", file)
    assert goal.tables == {"orders"}
    goal.execute("DROP TABLE orders")
    Schema(goal.url).upgrade()
    run("restore", file)
    assert goal.execute("SELECT count(*) FROM events").fetchone() == before


@pytest.mark.usefixtures("drill")
def test_a_damaged_or_foreign_file_leaves_nothing_behind(goal: Goal, tmp_path: Path) -> None:
    whole = run("backup", "-").stdout_bytes
    goal.be_used()
    file = tmp_path / "backup"
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2] ^= 1
    for data, said in (
        (whole[:-9], "it ends too early, as if it was cut short"),
        (whole[: len(whole) // 2], "it ends too early, as if it was cut short"),
        (bytes(spoilt), "damaged"),
        (b"hello", "this is no backup"),
    ):
        file.write_bytes(data)
        assert said in refused("restore", str(file))
        assert goal.tables == set()
        assert goal.execute("SELECT to_regnamespace('pgmq')").fetchone() == (None,)


def test_what_can_not_be_read_or_written_is_said_in_one_line(tmp_path: Path) -> None:
    assert "can't be read: No such file" in refused("restore", str(tmp_path / "none"))
    assert "can't be written: No such file" in refused("backup", str(tmp_path / "no" / "where"))
    assert "can't be written: Is a directory" in refused("backup", str(tmp_path))


def test_a_backup_puts_itself_in_the_place_of_files_alone(tmp_path: Path) -> None:
    """Root could do it to /dev/null, and to what /dev/stdout leads to."""
    pipe, file, link = (tmp_path / name for name in ("pipe", "file", "link"))
    os.mkfifo(pipe)
    file.touch()
    link.symlink_to(file)
    assert "is a device or a pipe: name a file" in refused("backup", str(pipe))
    assert pipe.is_fifo()
    run("backup", str(link))
    assert link.is_symlink()
    assert file.stat().st_size > 100


def test_a_backup_that_fails_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "backup"
    run("backup", str(file))
    before = file.read_bytes()
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@127.0.0.1:1/app")
    assert "does not answer" in refused("backup", str(file))
    assert (file.read_bytes(), [*tmp_path.iterdir()]) == (before, [file])


def test_a_backup_of_a_schema_that_is_not_known_here_is_refused(
    database: Database, database_url: str, goal: Goal
) -> None:
    files = {"0999": BytesIO(), "0000": BytesIO()}
    for revision, file in files.items():
        database.execute("UPDATE alembic_version SET version_num = %s", [revision])
        Archive(database_url, release="r").backup(file)
    database.execute("UPDATE alembic_version SET version_num = %s", [HEAD])
    with pytest.raises(Conflict, match=f"schema 0999, newer than this release's {HEAD}: restore"):
        goal.restore(files["0999"])
    with pytest.raises(AppError, match="there never was a schema '0000'"):
        goal.restore(files["0000"])
    with pytest.raises(Unavailable, match="has no schema, so there is nothing to back up"):
        Archive(goal.url, release="r").backup(BytesIO())
    assert goal.tables == set()


@pytest.fixture
def older(another_database: Callable[[], str]) -> Callable[[str], str]:
    """Makes an empty database of a past schema."""

    def make(revision: str) -> str:
        url = another_database()
        with Schema(url).transaction() as (_, move):
            move(revision)
        return url

    return make


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_backup_of_every_older_release_is_brought_up_to_this_one(
    revision: str, goal: Goal, older: Callable[[str], str]
) -> None:
    url, file = older(revision), BytesIO()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """INSERT INTO sessions (id, agent, prompt, schema, status, seq)
            VALUES (gen_random_uuid(), 'echo', 'v1', 1, 'idle', 0)"""
        )
    Archive(url, release="r").backup(file)
    if revision != HEAD:
        newest = older(HEAD)
        with pytest.raises(Conflict, match="into a database without tables"):
            Archive(newest, release="r").restore(BytesIO(file.getvalue()), Schema(newest))
    assert goal.restore(file)["sessions"] == 1
    assert goal.execute("SELECT agent, status FROM sessions").fetchall() == [("echo", "idle")]
    assert Schema(goal.url).current() == HEAD


def test_a_table_that_a_later_migration_adds_is_backed_up_or_named(
    goal: Goal, tmp_path: Path, another_database: Callable[[], str]
) -> None:
    """Rows of what refers to others come after them, and a number goes on where it was."""
    migrations = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, migrations)
    file = new_migration("grown", migrations=migrations)
    file.write_text(file.read_text().replace("-- expand here", GROWN))
    source, out = another_database(), BytesIO()
    Schema(source, migrations=migrations).upgrade()
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(CHILDREN)
        tables = {str(name) for (name,) in connection.execute(OURS).fetchall()}
    counts = Archive(source, release="r").backup(out)
    assert set(counts) | set(LEFT_OUT) == tables
    assert not set(counts) & set(LEFT_OUT)
    assert list(counts).index("the Parent") < list(counts).index("a_child")
    out.seek(0)
    Archive(goal.url, release="r").restore(out, Schema(goal.url, migrations=migrations))
    goal.execute("INSERT INTO a_child (parent) VALUES (NULL)")
    rows = goal.execute("SELECT * FROM a_child ORDER BY id").fetchall()
    assert rows == [(1, "Ada's", "Ada'sAda's"), (6, None, None)]


def test_a_row_that_its_table_does_not_take_is_damage_that_shows_no_value(
    drill: dict[str, str], database: Database, database_url: str, goal: Goal
) -> None:
    out = BytesIO()
    database.execute("ALTER TABLE effects DROP CONSTRAINT effects_pkey")
    try:
        database.execute("INSERT INTO effects SELECT * FROM effects")
        Archive(database_url, release="r").backup(out)
    finally:
        database.execute("DELETE FROM effects")
        database.execute("ALTER TABLE effects ADD PRIMARY KEY (key)")
    with pytest.raises(AppError, match="table 'effects' does not take its rows") as caught:
        goal.restore(out)
    assert drill["booked"] not in str(caught.value)
    assert goal.tables == set()


def test_the_head_of_a_backup_says_what_wrote_it(database_url: str) -> None:
    out = BytesIO()
    Archive(database_url, release="v7").backup(out)
    out.seek(0)
    head = Reader(out).head
    assert (head["schema"], head["release"]) == (HEAD, "v7")

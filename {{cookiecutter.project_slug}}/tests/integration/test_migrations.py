"""The schema and the `migrate` command, on a real database."""

import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from {{ cookiecutter.package_name }}.adapters import schema
from {{ cookiecutter.package_name }}.adapters.schema import MIGRATIONS, Schema, new_migration
from {{ cookiecutter.package_name }}.entrypoints.cli import cli
from {{ cookiecutter.package_name }}.errors import AppError, Unavailable
from {{ cookiecutter.package_name }}.settings import Settings

from ..processes import Process

Start = Callable[..., Process]
HEAD = max(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))
NEXT = f"{int(HEAD) + 1:04}"


def run(start: Start, *command: str, **environment: str) -> tuple[int, str]:
    process = start(*command, **environment)
    return process.ended(), process.output


@pytest.fixture
def migrate(
    empty_database: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Runs `migrate …` in this process, on the empty database."""
    monkeypatch.setenv("DATABASE_URL", empty_database)
    return lambda *command: CliRunner().invoke(cli, ["migrate", *command])


@pytest.mark.factor("XII")
def test_of_two_migrations_at_once_one_does_all_and_a_third_nothing(
    start: Start, empty_database: str
) -> None:
    both = [start("migrate", DATABASE_URL=empty_database) for _ in range(2)]
    assert [process.ended() for process in both] == [0, 0], [p.output for p in both]
    assert "applied 0001" in both[0].output + both[1].output
    code, third = run(start, "migrate", DATABASE_URL=empty_database)
    assert code == 0, third
    assert "applied" not in third


def test_a_lock_held_by_another_is_waited_for_a_while_and_nothing_is_changed(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LOCK_SECONDS", 1)
    with psycopg.connect(empty_database) as other:
        other.execute("CREATE TABLE jobs ()")
        with pytest.raises(Unavailable, match="waited too long for a lock"):
            Schema(empty_database).upgrade()
        other.rollback()
    assert Schema(empty_database).current() is None


def test_status_says_what_is_missing_by_its_exit_code(migrate: Callable[..., Result]) -> None:
    before = migrate("status")
    assert before.exit_code == 1
    assert before.output.startswith("missing 0001 ")
    assert before.output.endswith(f"the schema is at 0000, older than this release's {HEAD}\n")
    migrate("up")
    assert migrate("status").exit_code == 0


def test_a_dry_run_prints_sql_that_works_and_changes_nothing(
    migrate: Callable[..., Result], empty_database: str
) -> None:
    dry = migrate("--dry-run")
    assert dry.exit_code == 0
    assert Schema(empty_database).current() is None
    with psycopg.connect(empty_database) as connection:
        connection.execute(dry.output.encode())
    assert Schema(empty_database).pending() == []
    assert migrate("--dry-run").output.startswith("-- nothing to do: the schema is at ")


def test_a_migration_that_fails_leaves_nothing_of_itself(
    empty_database: str, tmp_path: Path
) -> None:
    migrations = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, migrations)
    second = new_migration("half done", migrations=migrations)
    text = second.read_text().replace("-- expand here", "CREATE TABLE half (); SELECT 1/0; --")
    second.write_text(text)
    with pytest.raises(Exception, match="division by zero"):
        Schema(empty_database, migrations=migrations).upgrade()
    assert Schema(empty_database).current() == HEAD
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)


def test_a_new_migration_is_numbered_named_and_usable(empty_database: str, tmp_path: Path) -> None:
    migrations = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, migrations)
    file = new_migration("Add a table: sessions!", migrations=migrations)
    assert file.name == f"{NEXT}_add_a_table_sessions.py"
    file.write_text(file.read_text().replace("-- expand here", "CREATE TABLE grown (); --"))
    odd = ['ends with a quote"', '"""; import os #', "back\\slash \\N{x}", "a" * 300]
    for message in odd:
        odd_one = new_migration(message, migrations=migrations)
        compile(odd_one.read_text(), odd_one, "exec")
        odd_one.unlink()
    grown = Schema(empty_database, migrations=migrations)
    grown.upgrade()
    assert (grown.head, grown.current()) == (NEXT, NEXT)
    with pytest.raises(AppError, match="'!!!' makes no file name"):
        new_migration("!!!", migrations=migrations)


def test_a_database_that_is_away_is_one_line_and_exit_code_69(start: Start) -> None:
    code, output = run(start, "migrate", DATABASE_URL="postgresql://app:hunter2@127.0.0.1:1/app")
    assert code == 69
    assert output.startswith("error: the database does not answer")
    assert output.count("\n") == 1
    assert "hunter2" not in output


@pytest.mark.factor("XII")
def test_an_older_release_leaves_a_newer_schema_alone(
    start: Start, migrate: Callable[..., Result], empty_database: str
) -> None:
    migrate()
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    for command in ((), ("up",), ("status",)):
        result = migrate(*command)
        assert result.output == f"the schema is at 0999, newer than this release's {HEAD}\n"
        assert result.exit_code == 0
    start("serve", DATABASE_URL=empty_database).healthy(path="/ready")

"""docs/data.md: what it shows is what can be typed, and it leaves out no table."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.adapters.archive import LEFT_OUT
from {{ cookiecutter.package_name }}.bootstrap import running
from {{ cookiecutter.package_name }}.settings import Settings

from ..conftest import SECRET
from .conftest import Database
from .test_backup import OURS

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
COMMANDS = re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)
SHOWN = ("export", "delete", "cleanup", "backup", "restore")


@pytest.mark.factor("XII")
def test_every_command_of_the_page_does_what_it_says(
    settings: Settings, database_url: str, empty_database: str, tmp_path: Path
) -> None:
    async def started() -> str:
        async with running(settings, "test") as app:
            await app.service.start()
            return await app.service.start(metadata={"who": "Ada"})

    session = asyncio.run(started())
    assert all(any(name in command for command in COMMANDS) for name in SHOWN)
    assert all(about().slug in command for command in COMMANDS)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DATABASE_URL": database_url,
        "SECRET_KEY": SECRET,
        "SESSION": session,
        "NEW": empty_database,
    }
    for command in COMMANDS:
        ran = subprocess.run(
            ["/bin/sh", "-euc", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{command}: {ran.stderr}"
    row, began = map(json.loads, (tmp_path / "session.jsonl").read_text().splitlines())
    assert row["row"]["metadata"] == began["event"]["metadata"] == {"who": "Ada"}
    with psycopg.connect(empty_database) as restored:
        rows = restored.execute("SELECT id::text FROM sessions").fetchall()
    assert len(rows) == 1
    assert rows != [(session,)]


def test_the_page_names_every_table_and_what_no_backup_has(database: Database) -> None:
    tables = {str(name) for (name,) in database.execute(OURS).fetchall()} - {"alembic_version"}
    rows = {cell for line in PAGE.splitlines() for cell in re.findall(r"`(\w+)`", line[:40])}
    assert tables - rows == set()
    (backups,) = [line for line in PAGE.splitlines() if line.startswith("| backups |")]
    assert set(re.findall(r"`([a-z]+)`", backups)) == set(LEFT_OUT) - {"alembic_version"}

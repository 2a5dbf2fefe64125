"""Migrations: squawk, on the SQL of each. What the release before can't bear is found."""

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from {{ cookiecutter.package_name }}.adapters.schema import MIGRATIONS

OWN = re.compile(r"CREATE TABLE alembic_version \(.*?\);", re.DOTALL)


def faults(project: Path, migrations: Path = MIGRATIONS) -> Iterator[str]:
    """A line for each statement that locks, breaks or takes something away."""
    squawk = str(Path(sys.executable).with_name("squawk"))
    options = ["--config", str(project / ".squawk.toml"), "--reporter", "gcc"]
    for revision, sql in statements(migrations):
        run = subprocess.run(
            [squawk, *options, "--stdin-filepath", revision],
            input=sql,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            yield from (run.stdout.strip() or run.stderr.strip()).splitlines()


def statements(migrations: Path) -> Iterator[tuple[str, str]]:
    """The SQL of each migration, oldest first; without the table of Alembic's own."""
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    for step in reversed(list(scripts.walk_revisions())):
        config.output_buffer = buffer = io.StringIO()
        span = f"{step.down_revision or 'base'}:{step.revision}"
        command.upgrade(config, span, sql=True)
        yield step.revision, OWN.sub("", buffer.getvalue())

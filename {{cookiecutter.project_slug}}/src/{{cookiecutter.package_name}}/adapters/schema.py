"""The schema and its history. Only here is Alembic imported, for `migrate` alone."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import LockNotAvailable

from ..errors import AppError, Unavailable
from .postgres import CONNECT_SECONDS, LINK, unavailable

MIGRATIONS = Path(__file__).parent.parent / "migrations"
LOCK = 12_2013  # two `migrate` at once wait for each other
TURN_SECONDS = 300
LOCK_SECONDS = 10  # what waits for a table holds up all who come after it
LOCKED = "the migration waited too long for a lock and changed nothing: run `migrate` again"


class Schema:
    def __init__(self, url: str, *, migrations: Path = MIGRATIONS) -> None:
        self._engine = sa.create_engine(
            sa.make_url(url).set(drivername="postgresql+psycopg"),
            poolclass=sa.NullPool,
            connect_args=LINK | {"connect_timeout": CONNECT_SECONDS},
        )
        self._config = Config()
        self._config.set_main_option("script_location", str(migrations).replace("%", "%%"))
        self._scripts = ScriptDirectory.from_config(self._config)

    @property
    def head(self) -> str:
        return self._scripts.get_current_head() or "0000"

    def knows(self, revision: str) -> bool:
        return revision in {step.revision for step in self._scripts.walk_revisions()}

    def current(self) -> str | None:
        """The revision that the database is at; None for an empty one."""
        with self._connected() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def pending(self) -> list[str]:
        """What `upgrade` would do, a line each, oldest first."""
        current = self.current()
        if self._is_newer(current):
            return []
        steps = self._scripts.iterate_revisions("head", current or "base")
        return [f"{step.revision} {step.doc}" for step in reversed(list(steps))]

    def upgrade(self) -> None:
        """Brings the database to the head. All of a migration happens, or nothing of it.

        A database that a newer release has migrated is left as it is: migrations only expand.
        """
        if self._is_newer(self.current()):
            return
        with self._alone() as connection:
            self._move(connection, "head")
            connection.commit()

    @contextmanager
    def transaction(self) -> Iterator[tuple[psycopg.Connection[Any], Callable[[str], None]]]:
        """A transaction, and what moves the schema in it: so that all happens, or nothing."""
        with self._alone() as connection, connection.begin():
            driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
            yield driver, partial(self._move, connection)

    @contextmanager
    def _alone(self) -> Iterator[sa.Connection]:
        """A connection that is given time, while nobody else migrates."""
        with self._connected() as connection:
            connection.execute(sa.text("SET statement_timeout = 0"))
            connection.execute(sa.text("SET idle_in_transaction_session_timeout = 0"))
            connection.execute(sa.text(f"SET lock_timeout = '{TURN_SECONDS} s'"))
            connection.execute(sa.text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
            connection.execute(sa.text(f"SET lock_timeout = '{LOCK_SECONDS} s'"))
            connection.commit()
            yield connection

    def _move(self, connection: sa.Connection, revision: str) -> None:
        self._config.attributes["connection"] = connection
        command.upgrade(self._config, revision)

    def sql(self) -> str:
        """The statements that `upgrade` would send now."""
        if not self.pending():
            return f"-- nothing to do: {self.state()}"
        current = self.current()
        self._config.output_buffer = buffer = io.StringIO()
        command.upgrade(self._config, f"{current}:head" if current else "head", sql=True)
        return buffer.getvalue()

    def state(self) -> str:
        """Where the schema is, in a line."""
        current = self.current() or "0000"
        if current == self.head:
            return f"the schema is at {current}, as this release needs it"
        what = "newer" if self._is_newer(current) else "older"
        return f"the schema is at {current}, {what} than this release's {self.head}"

    def _is_newer(self, current: str | None) -> bool:
        return (current or "") > self.head

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (sa.exc.OperationalError, sa.exc.InternalError) as error:
            if isinstance(error.orig, LockNotAvailable):
                raise Unavailable(LOCKED) from error
            raise unavailable(error.orig or error) from error


def new_migration(message: str, *, migrations: Path = MIGRATIONS) -> Path:
    """An empty migration, numbered after the last."""
    slug = re.sub(r"[^a-z0-9]+", "_", message.lower()).strip("_")
    if not slug:
        raise AppError(f"{message!r} makes no file name: say in letters what the migration does")
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    scripts = ScriptDirectory.from_config(config)
    number = int(scripts.get_current_head() or 0) + 1
    doc = " ".join(re.sub(r'[\\"]', "'", message).split()).rstrip(".")[:70]
    scripts.generate_revision(f"{number:04}", doc)
    (file,) = (migrations / "versions").glob(f"{number:04}_*.py")
    return file

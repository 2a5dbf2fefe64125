"""All that this service knows, into a backup and out of one (factor XII)."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, BinaryIO

import psycopg
from psycopg.errors import DataError, IntegrityError, UndefinedTable
from psycopg.sql import SQL, Composable, Identifier

from ..about import about
from ..errors import AppError, Conflict, Unavailable
from .backup import DAMAGED, Reader, Section, Writer, damage_named
from .postgres import CONNECT_SECONDS, LINK, unavailable

if TYPE_CHECKING:
    from .schema import Schema

Connection = psycopg.Connection[Any]
LEFT_OUT = {
    "alembic_version": "`migrate` makes it; the backup says its revision",
    "processes": "who lived then is dead",
    "jobs": "one never seen counts from now on",
    "cache": "it is made anew",
    "requests": "what a key has left of its minute fills up again",
}
"""All other tables are in a backup."""
TABLES = """SELECT c.relname AS name,
    array(SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum > 0
        AND NOT attisdropped AND attgenerated = '' ORDER BY attnum)::text[] AS columns,
    array(SELECT f.relname FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid
        WHERE k.conrelid = c.oid AND f.oid <> c.oid)::text[] AS after
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind = 'r' AND c.relname <> ALL (%s)
ORDER BY 1"""
NUMBERS = """SELECT sequencename, last_value FROM pg_sequences
WHERE schemaname = current_schema() AND last_value IS NOT NULL"""
GO_ON = """SELECT setval(to_regclass(quote_ident(key)), greatest(value::bigint,
    coalesce((SELECT last_value FROM pg_sequences
        WHERE schemaname = current_schema() AND sequencename = key), 1)))
FROM json_each_text(%s)"""
"""No number is given twice, not even one that a deleted row had."""
LET_GO = """UPDATE sessions SET lease_owner = NULL, dispatched_at = 'epoch'
WHERE lease_owner IS NOT NULL OR status = 'ready'"""
"""So the sweeper queues all that there is to do, at once."""
TAKE_TIME = """SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL datestyle = ISO"""


class Archive:
    def __init__(self, url: str, *, release: str) -> None:
        self._url = url
        self._release = release

    def backup(self, file: BinaryIO) -> dict[str, int]:
        """Writes all tables as they are at one moment; how many rows of each."""
        with _connected(self._url) as connection, connection.transaction():
            connection.execute(TAKE_TIME)
            head = {"service": about().slug, "release": self._release, "schema": _at(connection)}
            writer = Writer(file, **head, at=datetime.now(UTC).isoformat(timespec="seconds"))
            for name, columns in _tables(connection).items():
                out = SQL("COPY {} ({}) TO STDOUT").format(Identifier(name), _names(columns))
                with connection.cursor().copy(out) as rows:
                    writer.table(name, columns, rows)
            return writer.close(numbers=dict(connection.execute(NUMBERS).fetchall()))

    def restore(self, file: BinaryIO, schema: "Schema") -> dict[str, int]:
        """Loads a backup into an empty database, of the schema of this release then; or nothing."""
        reader = Reader(file)
        with damage_named(DAMAGED):
            wanted = str(reader.head["schema"])
        current = schema.current()
        _refuse_schema(wanted, current=current, schema=schema)
        try:
            with schema.transaction() as (connection, move):
                if current is None and (strangers := _tables(connection)):
                    raise Conflict(_not_empty("tables", strangers))
                move(wanted)
                counts = _loaded(connection, reader)
                move("head")
                connection.execute(LET_GO)
                connection.execute("ANALYZE")
        except psycopg.OperationalError as error:
            raise unavailable(error) from error
        return counts


def _loaded(connection: Connection, reader: Reader) -> dict[str, int]:
    tables = _tables(connection)
    _refuse_rows(connection, tables)
    counts = {}
    for section in reader.sections():
        if section.table not in tables:
            raise AppError(f"{DAMAGED}: its schema has no table {section.table!r}")
        counts[section.table] = _load(connection, section)
    with damage_named(DAMAGED):
        if counts != reader.tail["rows"]:
            raise ValueError(f"it had {reader.tail['rows']} rows, and {counts} arrived")
        connection.execute(GO_ON, [json.dumps(reader.tail["numbers"])])
    return counts


def _load(connection: Connection, section: Section) -> int:
    into = SQL("COPY {} ({}) FROM STDIN").format(Identifier(section.table), _names(section.columns))
    cursor = connection.cursor()
    try:
        with cursor.copy(into) as copy, damage_named(DAMAGED):
            for piece in section.rows:
                copy.write(piece)
    except (DataError, IntegrityError, psycopg.ProgrammingError):  # it would say values
        raise AppError(f"{DAMAGED}: table {section.table!r} does not take its rows") from None
    return cursor.rowcount


def _tables(connection: Connection) -> dict[str, list[str]]:
    """Those of a backup, with their columns; what others refer to comes before them."""
    found = {row[0]: row for row in connection.execute(TABLES, [list(LEFT_OUT)]).fetchall()}
    order = TopologicalSorter({name: after for name, _, after in found.values()}).static_order()
    return {name: found[name][1] for name in order if name in found}


def _at(connection: Connection) -> str:
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except UndefinedTable:
        row = None
    if row is None:
        raise Unavailable("the database has no schema, so there is nothing to back up")
    return str(row[0])


def _refuse_schema(wanted: str, *, current: str | None, schema: "Schema") -> None:
    if wanted > schema.head:
        raise Conflict(
            f"the backup is of schema {wanted}, newer than this release's {schema.head}: "
            "restore it with the release that wrote it, or a newer one"
        )
    if not schema.knows(wanted):
        raise AppError(f"{DAMAGED}: there never was a schema {wanted!r}")
    if current and current > wanted:
        raise Conflict(
            f"the backup is of schema {wanted}, and the database is at {current} already: "
            "restore it into a database without tables; what is missing is migrated then"
        )


def _refuse_rows(connection: Connection, tables: Mapping[str, object]) -> None:
    """From here on nobody else adds any."""
    connection.execute(SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(_names(tables)))
    look = SQL("SELECT EXISTS (SELECT FROM {})")
    used = [
        name
        for name in tables
        if connection.execute(look.format(Identifier(name))).fetchone() == (True,)
    ]
    if used:
        raise Conflict(_not_empty("rows in", used))


def _not_empty(what: str, names: Mapping[str, object] | list[str]) -> str:
    return (
        f"the database is not empty, it has {what} {', '.join(sorted(names))}: nothing was "
        "changed. Restore into a new database, which DATABASE_URL names"
    )


def _names(names: Mapping[str, object] | list[str]) -> Composable:
    return SQL(", ").join(map(Identifier, names))


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """For one reading of everything as it is at one moment, however long it takes."""
    try:
        terms: dict[str, Any] = LINK | {"connect_timeout": CONNECT_SECONDS}
        with psycopg.connect(url, client_encoding="utf8", **terms) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield connection
    except psycopg.OperationalError as error:
        raise unavailable(error) from error

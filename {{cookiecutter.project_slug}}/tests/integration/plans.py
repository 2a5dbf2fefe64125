"""The plan of every statement that an adapter sends in a test: none reads a growing table whole.

A statement is judged as it would be for any values, and where to read a table whole costs more than
anything: so what is left of that is what no index serves.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import AsyncCursor
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer

from {{ cookiecutter.package_name }}.adapters.archive import LEFT_OUT
from {{ cookiecutter.package_name }}.adapters.keys import KEYS
from {{ cookiecutter.package_name }}.adapters.reports import CENSUS, DEAD, SEED
from {{ cookiecutter.package_name }}.adapters.sessions import ORPHANS

READS_ALL = {
    CENSUS: "seldom: who asks looks at what it took",
    DEAD: "of dead letters there are few, or somebody is looking at them",
    KEYS: "of keys there are few",
    ORPHANS: "once a night",
    SEED: "once in a life, of a table that is empty then",
}
SMALL = set(LEFT_OUT) - {"cache"}
PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
JUDGED = """SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;
    SET enable_hashjoin = off; SET enable_mergejoin = off"""
GROWING = """SELECT table_name FROM information_schema.tables
    WHERE table_schema = 'public' AND table_name <> ALL (%s)"""
EXECUTE = AsyncCursor.execute
PARTIAL = "SELECT indexrelid::regclass::text FROM pg_index WHERE indpred IS NOT NULL"


class Plans:
    def __init__(self, url: str) -> None:
        self._url = url
        self._sent: dict[str, Any] = {}
        self.judged: set[str] = set(READS_ALL)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Notes what is sent without a fault; adapters are the ones who send asynchronously."""

        async def noting(cursor: Any, query: Any, values: Any = None, **given: Any) -> Any:
            done = await EXECUTE(cursor, query, values, **given)
            text = query.decode() if isinstance(query, bytes) else str(query)
            if text.lstrip().startswith(PLANNED):
                self._sent.setdefault(text, values)
            return done

        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(AsyncCursor, "execute", noting)
            yield

    def faults(self) -> list[str]:
        """Of what was sent since it was asked last."""
        new = {sql: values for sql, values in self._sent.items() if sql not in self.judged}
        self.judged |= set(new)
        found = []
        for sql, values in new.items():
            found += [f"{fault}: {sql}" for fault in judge(self._url, sql, values)]
        return found


def judge(url: str, sql: str, values: Mapping[str, object] | None = None) -> list[str]:
    """What is wrong with the plan of a statement, whatever its values."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(JUDGED)
        query = PostgresQuery(Transformer.from_context(connection))
        query.convert(sql.encode(), values)
        prepared = connection.pgconn.prepare(b"judged", query.query, query.types)
        assert not prepared.error_message, f"{prepared.error_message.decode()}: {sql}"
        given = f"({', '.join(['NULL'] * len(query.types))})" if query.types else ""
        explain = f"EXPLAIN (FORMAT JSON) EXECUTE judged{given}"
        ((plan,),) = connection.execute(explain.encode()).fetchall()
        growing = {row[0] for row in connection.execute(GROWING, [list(SMALL)]).fetchall()}
        partial = {row[0] for row in connection.execute(PARTIAL).fetchall()}
    return list(_faults(plan[0]["Plan"], growing, partial))


def _faults(
    node: dict[str, Any],
    growing: set[str],
    partial: set[str],
    *,
    table: str = "",
    cut: bool = False,
) -> Iterator[str]:
    """A part of an index, or its beginning in its order, is no more than is wanted."""
    kind, index = node["Node Type"], node.get("Index Name")
    table = node.get("Relation Name", table)
    cut = (cut or kind == "Limit") and kind not in {"Sort", "Aggregate"}
    if table in growing and kind == "Seq Scan":
        yield f"reads all of {table}"
    if table in growing and not (index in partial or index is None or "Index Cond" in node or cut):
        yield f"reads all of {table} by {index}"
    for part in node.get("Plans", ()):
        yield from _faults(part, growing, partial, table=table, cut=cut)

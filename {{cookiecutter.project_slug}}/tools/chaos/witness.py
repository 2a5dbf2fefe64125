"""What really happened, as the database itself noted it: each note is in the transaction it tells.

So it is neither lost in a crash nor told of what was rolled back.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Self

import psycopg

NOTES = """CREATE TABLE moves (n bigserial PRIMARY KEY, session_id uuid, seq int, by bigint,
    owner bigint, at timestamptz DEFAULT clock_timestamp());
CREATE INDEX moves_session ON moves (session_id, n);
CREATE TABLE lives (id bigint, name text);
CREATE TABLE repeats (key text);

CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO moves (session_id, seq, by, owner)
    VALUES (NEW.id, NEW.seq, OLD.lease_owner, NEW.lease_owner);
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON sessions FOR EACH ROW
    WHEN (OLD.seq <> NEW.seq OR OLD.lease_owner IS DISTINCT FROM NEW.lease_owner)
    EXECUTE FUNCTION note_move();

CREATE FUNCTION note_life() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO lives VALUES (NEW.id, NEW.name); RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT ON processes FOR EACH ROW EXECUTE FUNCTION note_life();

CREATE FUNCTION note_repeat() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO repeats VALUES (NEW.key); RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON effects FOR EACH ROW EXECUTE FUNCTION note_repeat()"""
RECOVERY = """WITH deaths AS (
    SELECT l.id, d.at FROM unnest(%(names)s::text[], %(times)s::timestamptz[]) AS d(name, at)
        JOIN lives l USING (name)
), holds AS (
    SELECT *, lead(at) OVER (PARTITION BY session_id ORDER BY n) AS until FROM moves
), held AS (
    SELECT d.id, d.at, h.session_id, h.seq, h.n FROM deaths d
        JOIN holds h ON h.owner = d.id AND h.at <= d.at AND coalesce(h.until > d.at, true)
)
SELECT extract(epoch FROM next.at - held.at)::float FROM held LEFT JOIN LATERAL (
    SELECT min(m.at) AS at FROM moves m WHERE m.session_id = held.session_id AND m.n > held.n
        AND m.seq > held.seq AND m.by IS DISTINCT FROM held.id
) next ON true"""
"""None where nobody else went on: not yet, or the dead one's last statement was the end of it."""


class Witness:
    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._connection: psycopg.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection:
            self._connection.close()

    def swear_in(self) -> None:
        self.rows(NOTES)

    def rows(self, sql: str, **values: object) -> list[tuple[Any, ...]]:
        try:
            return self._ask(sql, values)
        except psycopg.OperationalError:  # the connection has not outlived a crash
            self._connection = None
            return self._ask(sql, values)

    def one(self, sql: str, **values: object) -> Any:
        return self.rows(sql, **values)[0][0]

    def recovery(self, deaths: Sequence[tuple[str, float]]) -> list[float | None]:
        """Seconds until each session that a dead process held went on elsewhere."""
        names = [name for name, _ in deaths]
        times = [datetime.fromtimestamp(at, UTC) for _, at in deaths]
        return [row[0] for row in self.rows(RECOVERY, names=names, times=times)]

    def _ask(self, sql: str, values: dict[str, object]) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = psycopg.connect(self._url, autocommit=True)
        cursor = self._connection.execute(sql.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

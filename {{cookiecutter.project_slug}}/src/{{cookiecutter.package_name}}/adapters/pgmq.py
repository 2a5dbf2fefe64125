"""PostgreSQL as Celery's broker: kombu's transport over pgmq, with what it was measured to need."""

from typing import Any

import psycopg
from kombu.exceptions import OperationalError
from kombu.transport import pgmq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import InvalidSchemaName, UndefinedFunction, UndefinedTable

from .postgres import LINK

STOP_SECONDS = 0.25
WHY_SECONDS = 2
ONE_AT_A_TIME = "SELECT pg_advisory_lock(12_2016)"
IS_TOLD = """SELECT 1 FROM pg_trigger
    WHERE tgname = 'trigger_notify_queue_insert_listeners' AND tgrelid = to_regclass(%(table)s)"""
NAMED = ("host", "port", "dbname", "user", "password")


class Channel(pgmq.Channel):
    """Has PostgreSQL tell of new messages; asked for once, as to ask again locks the queue."""

    def _maybe_enable_notify(self, queue: str, queue_name: str | None = None) -> None:
        name = queue_name or self._queue_name(queue)
        dsn = self.pgmq.config.dsn
        with psycopg.connect(dsn, autocommit=True, connect_timeout=WHY_SECONDS) as connection:
            connection.execute(ONE_AT_A_TIME)
            if connection.execute(IS_TOLD, {"table": f"pgmq.q_{name}"}).fetchone() is None:
                super()._maybe_enable_notify(queue, name)  # type: ignore[no-untyped-call]
        self.connection._register_notify_queue(name)  # noqa: SLF001

    def close(self) -> None:
        """What was brought here and is not done is at once another's."""
        if not self.closed:
            self.qos.restore_unacked()
        super().close()  # type: ignore[no-untyped-call]


class Transport(pgmq.Transport):
    """Looks up from its wait often enough for a worker told to stop to notice."""

    Channel = Channel
    connection_errors = (  # type: ignore[assignment]  # a database that `migrate` has yet to reach is one to wait for
        *pgmq.Transport.connection_errors,
        OperationalError,
        InvalidSchemaName,
        UndefinedFunction,
        UndefinedTable,
    )

    def establish_connection(self) -> object:
        """By itself first: the pool would wait in any case, and not say why."""
        dsn = self._get_pgmq_client().config.dsn
        psycopg.connect(dsn, connect_timeout=WHY_SECONDS).close()
        return super().establish_connection()  # type: ignore[no-untyped-call]

    def drain_events(self, connection: object, timeout: float | None = None, **_: Any) -> None:
        seconds = min(timeout or STOP_SECONDS, STOP_SECONDS)
        super().drain_events(connection, timeout=seconds)  # type: ignore[no-untyped-call]


def options(database_url: str, *, visibility_seconds: int, connect_seconds: int) -> dict[str, Any]:
    return {
        "conn_string": _conninfo(database_url),
        "init_extension": False,  # a migration has installed it
        "notify_throttle_interval_ms": 0,  # the default lets 4 tasks through a second
        "polling_interval": 0.5,
        "pool_size": 4,
        "pool_timeout": connect_seconds,
        "use_notify": True,
        "visibility_timeout": visibility_seconds,
        "wait_time_seconds": 0,
    }


def _conninfo(url: str) -> str:
    """What pgmq makes of a URL, put right.

    It pastes five values unquoted into a connection string and drops every other option, sslmode
    too; and given less than this, it would take DATABASE_URL from the environment instead.
    """
    given = conninfo_to_dict(url, **LINK)
    named = {key: _quoted(str(given.pop(key))) for key in NAMED if key in given}
    named["dbname"] = f"{named.get('dbname', 'postgres')} {make_conninfo('', **given)}"
    return make_conninfo("", **named)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

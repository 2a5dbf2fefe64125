"""Logs are a stream of events on stdout, one a line; nothing here opens a file (factor XI)."""

import json
import logging
import sys
import threading
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonEncoder

from ..about import about
from ..settings import Settings
from .spans import current

log = logging.getLogger(__name__)

request_id: ContextVar[str] = ContextVar("request_id", default="")
session: ContextVar[str] = ContextVar("session", default="")
"""What the events of a request, of a task, and of all that they start are about."""

RESERVED = frozenset(RESERVED_ATTRS)
# Libraries that say at INFO what we say ourselves, or say it to everyone at every step.
QUIET = ("alembic", "celery", "httpx2", "kombu", "pgmq", "psycopg.pool", "urllib3", "uvicorn")


def configure_logs(settings: Settings, process: str) -> None:
    """Every logger of this process, the libraries' too, writes one line an event to stdout."""
    handlers: list[logging.Handler] = [Stream(sys.stdout)]
    constant = {
        "service": about().slug,
        "version": about().version,
        "environment": settings.environment,
        "release": settings.release,
        "process": process,
    }
    handlers[0].setFormatter(Json(constant) if settings.log_format == "json" else Text())
    if settings.sentry_dsn:
        from .sentry import reporter

        handlers.append(reporter(settings, process))
    for handler in handlers:
        handler.addFilter(_add_context)
    _look_up_no_more_than_is_told()
    logging.basicConfig(level=settings.log_level, handlers=handlers, force=True)
    logging.captureWarnings(capture=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.root.level))
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)  # the worker has said it
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    _log_what_nobody_catches()


def _look_up_no_more_than_is_told() -> None:
    """The line of code, the thread and the task of each event cost more than writing it does."""
    logging._srcfile = None  # noqa: SLF001 - as `logging` itself advises
    logging.logThreads = logging.logProcesses = False
    logging.logMultiprocessing = False


def _add_context(record: logging.LogRecord) -> bool:
    if rid := request_id.get():
        record.request_id = rid
    if (session_id := session.get()) and not hasattr(record, "session"):
        record.session = session_id
    if span := current.get():
        record.trace_id, record.span_id = f"{span.trace_id:032x}", f"{span.id:016x}"
    return True


def _is_news(record: logging.LogRecord) -> bool:
    return "Exception in ASGI application" not in str(record.msg)  # the web process has said it


def _log_what_nobody_catches() -> None:
    """Python itself would write it to stderr, over many lines."""

    def caught(
        kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or not issubclass(kind, Exception):
            sys.__excepthook__(kind, error or kind(), trace)
            return
        log.critical("process broke", exc_info=(kind, error, trace))

    sys.excepthook = caught
    threading.excepthook = lambda args: caught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: caught(args.exc_type, args.exc_value, args.exc_traceback)


class Stream(logging.StreamHandler[Any]):
    """An event that can't be written is said to be so, in one line too."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - so it is called
        error = sys.exc_info()[1]
        if record.name != __name__ and not isinstance(error, OSError):
            what = {"by": record.name, "what": str(record.msg), "error": repr(error)}
            log.error("event not logged", extra=what)


class Json(logging.Formatter):
    """Put together here and written by the fast encoder where that can and gives ASCII, which no
    terminal obeys; else by the library's.
    """

    def __init__(self, constant: dict[str, str]) -> None:
        super().__init__()
        self._constant = constant
        self._slow = JsonEncoder(separators=(",", ":"))

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            **self._constant,
            **_extra(record),
        }
        if record.exc_info:
            told["exc_info"] = self.formatException(record.exc_info)
        if record.stack_info:
            told["stack_info"] = self.formatStack(record.stack_info)
        try:
            line = orjson.dumps(told, self._slow.default)
        except TypeError:
            return self._slow.encode(told)
        return line.decode() if line.isascii() else self._slow.encode(told)


class Text(logging.Formatter):
    """Time, level, event, key=value: for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {k}={_short(v)}" for k, v in _extra(record).items())
        time = self.formatTime(record, "%H:%M:%S")
        event = " ".join(record.getMessage().split())
        text = f"{time} {record.levelname.lower():7} {_visible(event)}{pairs}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """What the event itself brings."""
    return {name: value for name, value in vars(record).items() if name not in RESERVED}


def _short(value: object) -> str:
    """Quoted where it would not read as one word, and nothing in it that a terminal obeys."""
    text = str(value)
    is_word = bool(text) and text.isprintable() and " " not in text
    return text if is_word else json.dumps(text, ensure_ascii=not text.isprintable())


def _visible(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)[1:-1]

"""Logs are a stream of events on stdout, one a line; nothing here opens a file (factor XI)."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from ..about import about
from ..settings import Settings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

# Libraries that say at INFO what we say ourselves, or say it to everyone at every step.
QUIET = ("alembic", "celery", "httpx2", "kombu", "pgmq", "psycopg.pool", "uvicorn")


def configure_logs(settings: Settings, process: str) -> None:
    """Every logger of this process, the libraries' too, writes one line an event to stdout."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_add_context)
    constant = {
        "service": about().slug,
        "environment": settings.environment,
        "release": settings.release,
        "process": process,
    }
    handler.setFormatter(Json(constant) if settings.log_format == "json" else Text())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.root.level))
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)  # the worker has said it


def _add_context(record: logging.LogRecord) -> bool:
    if rid := request_id.get():
        record.request_id = rid
    return True


class Json(JsonFormatter):
    def __init__(self, constant: dict[str, str]) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger", "message": "event"},
            static_fields=constant,
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **log_data}


class Text(logging.Formatter):
    """Time, level, event, key=value: for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        own = {k: v for k, v in vars(record).items() if k not in RESERVED_ATTRS}
        pairs = "".join(f" {k}={_short(v)}" for k, v in own.items())
        time = self.formatTime(record, "%H:%M:%S")
        event = " ".join(record.getMessage().split())
        text = f"{time} {record.levelname.lower():7} {_visible(event)}{pairs}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _short(value: object) -> str:
    """Quoted where it would not read as one word, and nothing in it that a terminal obeys."""
    text = str(value)
    is_word = bool(text) and text.isprintable() and " " not in text
    return text if is_word else json.dumps(text, ensure_ascii=not text.isprintable())


def _visible(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)[1:-1]

"""What took long is told: one line of the log, by its first words, never with a value."""

import logging

from ..agent import events as e
from ..agent.acts import Events
from ..agent.session import Thread

log = logging.getLogger(__name__)

WORDS_LENGTH = 80


def note_slow(kind: str, what: str, *, seconds: float, limit: float, **details: object) -> None:
    if seconds > limit:
        words = " ".join(what.split())[:WORDS_LENGTH]
        log.warning("slow %s", kind, extra={kind: words, "seconds": round(seconds, 3), **details})


def note_slow_calls(thread: Thread, events: Events, *, limit: float) -> None:
    """Calls of models and tools in a stored step."""
    for event in events:
        match event:
            case e.ModelAnswered():
                called = event.model
            case e.ToolReturned() | e.ToolFailed():
                called = _tool(thread, event.call_id)
            case _:
                continue
        note_slow("call", called, seconds=event.seconds, limit=limit, session=thread.id)


def _tool(thread: Thread, call_id: str) -> str:
    asked = (known for known in thread.events if isinstance(known, e.ToolRequested))
    return next((known.call.tool for known in asked if known.call.id == call_id), call_id)

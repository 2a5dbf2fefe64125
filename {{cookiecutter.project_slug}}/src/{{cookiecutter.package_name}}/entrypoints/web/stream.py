"""A session's events as they happen: one stream a client, which may drop and go on where it was."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse

from ...agent.history import Stored
from ...errors import NotFound, Unavailable
from ...ports import Live, News
from ...service import Service
from .shapes import placed

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
PAGE = 200
ALIVE_SECONDS = 15.0
AWAY_SECONDS = 2.0
ALIVE = b": alive\n\n"
LOOK = News()
EXAMPLE = """event: token
data: {"text": "Hel"}

id: 4
event: agent_answered
data: {"seq":4,"at":"2026-01-02T03:04:05Z","kind":"agent_answered","text":"Hello","done":false}

"""
CONTENT = {
    MEDIA_TYPE: {
        "schema": {
            "type": "string",
            "description": "Each event with its place as `id`, its kind as `event` and itself, "
            "as in a page of JSON, as `data`. Between them, without an id, `token`: a piece of "
            "the text that the model is saying. `Last-Event-ID` goes on where a stream dropped.",
        },
        "example": EXAMPLE,
    }
}


class Stopping:
    """Whether this process has been told to stop: what waits for news then ends by itself."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._is_stopping = False

    def __call__(self) -> bool:
        return self._is_stopping

    def begin(self) -> None:
        self._is_stopping = True
        self._live.wake()


def respond(
    service: Service,
    session_id: str,
    *,
    after: int,
    stopping: Callable[[], bool],
    is_let_in: Callable[[], Awaitable[bool]],
) -> StreamingResponse:
    events = follow(service, session_id, after=after, stopping=stopping, is_let_in=is_let_in)
    return StreamingResponse(events, headers=HEADERS, media_type=MEDIA_TYPE)


async def follow(
    service: Service,
    session_id: str,
    *,
    after: int,
    stopping: Callable[[], bool],
    is_let_in: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """Until the session is deleted, its watcher's key is out or the server stops; a database that
    is away is waited for.
    """
    news: News | None = LOOK
    with suppress(NotFound):
        async with service.live.watch(session_id) as watch:
            while not stopping() and await is_let_in():
                if news is None:
                    yield ALIVE
                elif news.text:
                    yield format_sse_event(event="token", data_str=json.dumps({"text": news.text}))
                elif news.seq == 0 or news.seq > after:
                    try:
                        events = await service.events(session_id, after=after, limit=PAGE)
                    except Unavailable:
                        yield ALIVE
                        await watch.next(AWAY_SECONDS)
                        continue
                    if events:
                        yield b"".join(map(_formatted, events))
                        after = events[-1].seq
                    if len(events) == PAGE:
                        continue
                news = await watch.next(ALIVE_SECONDS)


def _formatted(stored: Stored) -> bytes:
    return format_sse_event(id=str(stored.seq), event=stored.event.kind, data_str=placed(stored))

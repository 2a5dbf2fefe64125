"""News for a page that is open: what the model is saying, and that there is more in the store.

The store is not read for it: a page that hears of more asks for itself again.
"""

import json
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi.sse import format_sse_event
from starlette.responses import Response, StreamingResponse

from ....errors import NotFound, Unavailable
from ....ports import News
from ..stream import ALIVE, ALIVE_SECONDS, HEADERS, MEDIA_TYPE
from .cookies import mark_of
from .visits import Visit

AT_ONCE = b"retry: 1000\n\n"


async def live(visit: Visit) -> Response:
    session_id = await visit.session_id()
    after = visit.asked("after", 0)
    return StreamingResponse(
        _follow(visit, session_id, after), headers=HEADERS, media_type=MEDIA_TYPE
    )


async def _follow(visit: Visit, session_id: str, after: int) -> AsyncIterator[bytes]:
    """Until the session is deleted, the key is out, or the server stops."""
    yield AT_ONCE
    stopping = visit.request.state.stopping
    with suppress(NotFound):
        async with visit.service.live.watch(session_id) as watch:
            while not (stopping() or visit.request.scope.get("is_head")) and await _is_in(visit):
                news = await watch.next(ALIVE_SECONDS)
                if news is None:
                    yield ALIVE
                elif news.text:
                    yield format_sse_event(event="token", data_str=json.dumps(news.text))
                elif news.seq > after or not news.seq:
                    after = await _place(visit, session_id, news)
                    yield format_sse_event(event="more", data_str=str(after))


async def _place(visit: Visit, session_id: str, news: News) -> int:
    """How far the session is; NotFound where it is gone."""
    return news.seq or (await visit.service.thread(session_id)).seq


async def _is_in(visit: Visit) -> bool:
    """Whether the key is still good, and the cookie not over."""
    try:
        mark = mark_of(visit.request)
        return bool(mark) and await visit.request.state.identity.marked(mark) is not None
    except Unavailable:  # who can't ask for it has nothing to tell either
        return True

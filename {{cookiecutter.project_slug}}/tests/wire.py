"""A model provider on the loopback: both wire formats, streamed or whole, and all that goes wrong.

A test scripts what it says, one `Say` after the other; `python -m tests.wire 8100 2` is one for a
bench that answers everything after 2 seconds.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Self

from .formats import Anthropic, Json, OpenAI, Say

WORDS = ("Hello", " from", " the", " wire.")


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: Json


@dataclass
class Wire:
    """`with Wire(…) as wire`, in a thread of its own; when all is said the last is said again."""

    says: Iterable[Say] = (Say(text=WORDS),)
    port: int = 0
    keeps: bool = True
    """False: what came is not kept in `seen`."""
    together: int = 1
    """Nothing is answered before so many are in flight."""
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    in_flight: int = 0
    most_in_flight: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._next = _endless(self.says)
        self._all_here = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=2048)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection, until either side has enough of it."""
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                await writer.drain()
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            return  # the client went, or the test is over
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        seen = await _read(reader)
        say = next(self._next)
        if self.keeps:
            self.seen.append(seen)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.in_flight == self.together:
            self._all_here.set()
        try:
            await self._all_here.wait()
            if say.delay:
                await asyncio.sleep(say.delay)
            if say.hangs:
                await reader.read()
                return False
            writer.write(_response(seen, say))
            return say.cut_after is None
        finally:
            self.in_flight -= 1


async def _read(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(head[0].split()[1], headers, json.loads(body or b"{}"))


def _response(seen: Seen, say: Say) -> bytes:
    """The bytes of the whole answer, or of as much of it as comes."""
    if say.cut_after == 0:
        return b""
    speaks = OpenAI if seen.path.endswith("/chat/completions") else Anthropic
    if say.status >= 400:
        return _whole(say, speaks.error(say))
    if not seen.body.get("stream"):
        return _whole(say, speaks.message(seen.body, say))
    events = say.raw or "".join(speaks.events(seen.body, say))
    end = _chunk("") if say.cut_after is None else b""
    return _head(say, "text/event-stream", "Transfer-Encoding: chunked") + _chunk(events) + end


def _head(say: Say, content_type: str, framing: str) -> bytes:
    own = [f"{name}: {value}" for name, value in say.headers]
    lines = [f"HTTP/1.1 {say.status} Scripted", f"Content-Type: {content_type}", framing, *own]
    return "\r\n".join([*lines, "", ""]).encode()


def _whole(say: Say, body: Json) -> bytes:
    text = json.dumps(body).encode()
    return _head(say, "application/json", f"Content-Length: {len(text)}") + text


def _chunk(text: str) -> bytes:
    data = text.encode()
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _endless(says: Iterable[Say]) -> Iterator[Say]:
    say = Say(text=WORDS)
    for say in says:
        yield say
    while True:
        yield say


if __name__ == "__main__":
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    with Wire([Say(text=WORDS, delay=seconds)], port=port, keeps=False):
        threading.Event().wait()

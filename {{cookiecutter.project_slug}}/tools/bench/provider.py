"""A provider in a process of its own, as OpenAI's, that takes its time: `provider.py PORT`.

The model `patient` wants, after 2 seconds, one act more, for ever; `talker` says what time it is,
piece by piece.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator

from tests.formats import Json, OpenAI, Say

ACT = (("act", '{"left": 1, "size": 0}'),)
PATIENCE_SECONDS = 2.0
PIECES, PIECE_SECONDS = 60, 0.05
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def patient(request: Json) -> AsyncIterator[str]:
    await asyncio.sleep(PATIENCE_SECONDS)
    yield "".join(OpenAI.events(request, Say(calls=ACT)))


async def talker(request: Json) -> AsyncIterator[str]:
    for _ in range(PIECES):
        yield "".join(OpenAI.events(request, Say(text=(f"{time.time()} ",), cut_after=1)))
        await asyncio.sleep(PIECE_SECONDS)
    yield "".join(OpenAI.events(request, Say()))


MODELS = {"patient": patient, "talker": talker}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A connection, until the client has enough of it."""
    try:
        while True:
            request = await _read(reader)
            writer.write(HEAD)
            async for text in MODELS[request["model"]](request):
                writer.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())
                await writer.drain()
            writer.write(b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Json:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].split()[0])
    request: Json = json.loads(await reader.readexactly(length))
    return request


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

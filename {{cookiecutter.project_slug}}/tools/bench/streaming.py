"""What a model says, until a browser has it: how late it is, and what many readers weigh.

A provider in a process of its own stamps every piece with the time at which it sends it.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import httpx2

from ..keys import AUTH, KEY
from .figures import Figure, p95
from .provider import PIECES
from .rig import Rig

TALKS = 10
READERS, VIEWERS = 1000, 200
MOST_LATE, MOST_MEMORY, MOST_ADDED = 40.0, 200.0, 100.0
SSE = {"Accept": "text/event-stream"}
READ = ("/chat/sessions/{}/events", b"event: session_started")
VIEW = ("/sessions/{}/live", b"retry: ")
"""What is asked of a session, and the first that comes of it."""
ASYNC = {"Prefer": "respond-async"}
SAY = {"text": "tell"}


def measure(rig: Rig) -> Iterator[Figure]:
    with rig.provider() as url, rig.deploy(rig.best_broker()) as deploy:
        deploy.work(MODEL="openai:talker", OPENAI_BASE_URL=f"{url}/v1")
        web = deploy.start("serve")
        late = asyncio.run(talks(web.url))
        name = f"streaming: model to client, {TALKS} at once, p95"
        yield Figure(name=name, value=p95(late), unit="ms", most=MOST_LATE)
        sessions = deploy.ready(READERS, "0 steps of 0 bytes")
        signed_in = {"Cookie": cookie(web.url)}
        asyncio.run(weigh(web.port, VIEW, signed_in, sessions[:1], web.memory))  # all is warm
        before = web.memory()
        memory = asyncio.run(weigh(web.port, VIEW, signed_in, sessions[:VIEWERS], web.memory))
        name = f"streaming: {VIEWERS} viewers of the console add"
        yield Figure(name=name, value=memory - before, unit="MB", most=MOST_ADDED)
        memory = asyncio.run(weigh(web.port, READ, AUTH, sessions, web.memory))
        name = f"streaming: {READERS:,} readers on one web process, memory"
        yield Figure(name=name, value=memory, unit="MB", most=MOST_MEMORY)


async def talks(url: str) -> list[float]:
    """How many milliseconds each piece is late, with so many talks at once."""
    async with httpx2.AsyncClient(base_url=url, headers=AUTH, timeout=60) as client:
        found = await asyncio.gather(*(_talk(client) for _ in range(TALKS)))
    return [late for talk in found for late in talk]


async def _talk(client: httpx2.AsyncClient) -> list[float]:
    session = "/chat/sessions/" + (await client.post("/chat/sessions")).json()["session_id"]
    late = list[float]()
    async with client.stream("GET", f"{session}/events", headers=SSE) as stream:
        lines = stream.aiter_lines()
        await anext(lines)
        await client.post(f"{session}/messages", json=SAY, headers=ASYNC)
        async for line in lines:
            now = time.time()
            if line == "event: agent_answered":
                break
            if line.startswith('data: {"text"'):
                stamps = json.loads(line.removeprefix("data: "))["text"].split()
                late += [1000 * (now - float(stamp)) for stamp in stamps]
    assert len(late) == PIECES, f"{len(late)} pieces came, not {PIECES}"
    return late


def cookie(url: str) -> str:
    """Of a browser that has signed in to the console."""
    told = httpx2.post(f"{url}/sign-in", data={"key": KEY})
    return "; ".join(f"{name}={value}" for name, value in told.cookies.items())


async def weigh(
    port: int,
    stream: tuple[str, bytes],
    headers: Mapping[str, str],
    sessions: Sequence[str],
    memory: Callable[[], float],
) -> float:
    """The memory of the process while each of these sessions has a reader that has read."""
    path, first = stream
    head = "".join(f"{name}: {value}\r\n" for name, value in (SSE | dict(headers)).items())
    readers = [await asyncio.open_connection("127.0.0.1", port) for _ in sessions]
    for (_, writer), session_id in zip(readers, sessions, strict=True):
        asked = f"GET {path.format(session_id)} HTTP/1.1\r\nHost: bench"
        writer.write(f"{asked}\r\n{head}\r\n".encode())
    for reader, _ in readers:
        await reader.readuntil(first)
    try:
        return memory()
    finally:
        for _, writer in readers:
            writer.close()

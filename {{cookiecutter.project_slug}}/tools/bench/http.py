"""What a request costs beside a bare FastAPI, with keys, limits, logs and metrics on."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from time import perf_counter

from ..keys import AUTH
from ..stack import Process, answers, eventually, free_port
from . import bare
from .figures import Figure, interleaved
from .rig import PROJECT, Rig

ROUNDS, SECONDS, CONNECTIONS = 7, 2.0, 16
LEAST_SHARE = 70
MOST_MEMORY = 105
MIB = 1.048576
PATHS = {"/health": "GET /health", "/chat/sessions?limit=1": "a row read with a key"}


def measure(rig: Rig) -> Iterator[Figure]:
    """Both serve by turns, so that a busy minute of the machine is a busy one for both."""
    with rig.deploy("pgmq:") as deploy:
        deploy.ready(1, "hello")
        web = deploy.start("serve")
        port = free_port()
        peer = Process(
            *(sys.executable, "-m", bare.__name__, str(port), deploy.environment["DATABASE_URL"]),
            environment=dict(os.environ) | {"PYTHONPATH": str(PROJECT)},
        )
        try:
            eventually(lambda: answers(port), "the bare FastAPI answers")
            for path, name in PATHS.items():
                runs = {"ours": partial(rate, web.port, path), "bare": partial(rate, port, path)}
                yield from compared(name, interleaved(runs, rounds=ROUNDS))
        finally:
            peer.kill()
        memory = web.memory() / MIB
        yield Figure(name="http: web process, memory", value=memory, unit="MiB", most=MOST_MEMORY)


def compared(name: str, found: Mapping[str, float]) -> Iterator[Figure]:
    for who, value in found.items():
        yield Figure(name=f"http: {name}, {who}", value=value, unit="requests/s")
    share = 100 * found["ours"] / found["bare"]
    yield Figure(name=f"http: {name}, of bare FastAPI", value=share, unit="%", least=LEAST_SHARE)


def rate(port: int, path: str) -> float:
    """Requests a second, over connections that are kept."""
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "bench", **AUTH}.items())
    return asyncio.run(_load(port, f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()))


async def _load(port: int, request: bytes) -> float:
    began = perf_counter()
    done = await asyncio.gather(*(_ask(port, request, began) for _ in range(CONNECTIONS)))
    return sum(done) / (perf_counter() - began)


async def _ask(port: int, request: bytes, began: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done = 0
    while perf_counter() - began < SECONDS:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
        done += 1
    writer.close()
    return done

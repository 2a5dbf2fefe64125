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
from .figures import Figure, averaged, interleaved
from .rig import PROJECT, Deploy, Rig

PAIRS, ROUNDS, SECONDS, CONNECTIONS = 3, 5, 1.0, 16
LEAST_SHARE = 70
MOST_MEMORY = 105
MIB = 1.048576
PATHS = {"/health": "GET /health", "/chat/sessions?limit=1": "a row read with a key"}


def measure(rig: Rig) -> Iterator[Figure]:
    with rig.deploy("pgmq:") as deploy:
        deploy.ready(1, "hello")
        rates, memory = zip(*(of_a_pair(deploy) for _ in range(PAIRS)), strict=True)
    for path, name in PATHS.items():
        yield from compared(name, averaged(pair[path] for pair in rates))
    most = max(memory)
    yield Figure(name="http: web process, memory", value=most, unit="MiB", most=MOST_MEMORY)


def of_a_pair(deploy: Deploy) -> tuple[dict[str, dict[str, float]], float]:
    """The rates of both by path, and our memory after that. They serve by turns, so that a busy
    minute of the machine is a busy one for both.
    """
    web, port = deploy.start("serve"), free_port()
    peer = Process(
        *(sys.executable, "-m", bare.__name__, str(port), deploy.environment["DATABASE_URL"]),
        environment=dict(os.environ) | {"PYTHONPATH": str(PROJECT)},
    )
    try:
        eventually(lambda: answers(port), "the bare FastAPI answers")
        rates = {}
        for path in PATHS:
            runs = {"ours": partial(rate, web.port, path), "bare": partial(rate, port, path)}
            rates[path] = interleaved(runs, rounds=ROUNDS)
        return rates, web.memory() / MIB
    finally:
        peer.kill()
        web.stop()


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

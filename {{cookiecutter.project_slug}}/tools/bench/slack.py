"""How soon Slack is told that an event was taken, while workers answer what came before."""

import asyncio
import hmac
import json
from collections.abc import Iterator
from statistics import median, quantiles
from time import perf_counter, time

from .figures import Figure
from .rig import Rig

A_SECOND, SECONDS = 50, 20
MOST_MS = 500
SIGNING = "the signing secret of the bench"
HEAD = "POST /channels/slack/events HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
SAID = b'HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n{"ok": true, "ts": "1718000000.0002"}'


def measure(rig: Rig) -> Iterator[Figure]:
    yield from asyncio.run(_measure(rig))


async def _measure(rig: Rig) -> list[Figure]:
    slack = await asyncio.start_server(_answer, "127.0.0.1", 0)
    port = slack.sockets[0].getsockname()[1]
    own = {"SLACK_BOT_TOKEN": "xoxb-bench", "SLACK_SIGNING_SECRET": SIGNING}
    own["SLACK_API_URL"] = f"http://127.0.0.1:{port}/api"
    with rig.deploy("pgmq:", **own) as deploy:
        web = await asyncio.to_thread(deploy.start, "serve")
        for command in ("work", "schedule"):
            await asyncio.to_thread(deploy.start, command)
        await asyncio.gather(*(_send(web.port, -n) for n in range(1, 20)))  # all is warm
        began = perf_counter()
        taken = await asyncio.gather(
            *(_later(began + n / A_SECOND, web.port, n) for n in range(A_SECOND * SECONDS))
        )
        await asyncio.to_thread(deploy.until_idle)
    slack.close()
    rate = f"slack: acknowledged at {A_SECOND}/s"
    return [
        Figure(name=f"{rate}, median", value=median(taken), unit="ms"),
        Figure(name=f"{rate}, p99", value=quantiles(taken, n=100)[-1], unit="ms", most=MOST_MS),
    ]


async def _later(at: float, port: int, number: int) -> float:
    """Sent when its time has come, however many are unanswered yet."""
    await asyncio.sleep(at - perf_counter())
    return await _send(port, number)


async def _send(port: int, number: int) -> float:
    """Milliseconds from the connection to the answer."""
    said = {"type": "app_mention", "user": "U1", "channel": "C1", "text": "hello"}
    told = {"type": "event_callback", "event": said | {"ts": f"{1718000000 + number}.000100"}}
    body, stamp = json.dumps(told).encode(), str(int(time()))
    made = hmac.digest(SIGNING.encode(), f"v0:{stamp}:".encode() + body, "sha256").hex()
    signed = f"X-Slack-Request-Timestamp: {stamp}\r\nX-Slack-Signature: v0={made}\r\n"
    began = perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{HEAD}{signed}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head + await reader.read(2000)
    writer.close()
    return 1000 * (perf_counter() - began)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Slack, which takes whatever is said to it."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].split()
            await reader.readexactly(int(length[0]) if length else 0)
            writer.write(SAID)
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        writer.close()

"""`make load`: a minute of clients at a service that runs elsewhere; 1 where it is slow or fails.

With a key each client starts sessions and reads them, which costs no model a token; without one it
asks for /health alone.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import quantiles

import httpx2

from .environments import PROJECT
from .pipeline.facts import place

MOST_ERRORS = 0.001
LEAST = 100
TIMEOUT = 10
Ask = Callable[[httpx2.AsyncClient, "Tally"], Awaitable[None]]


@dataclass
class Tally:
    seconds: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)

    def note(self, answer: str, seconds: float) -> None:
        self.answers[answer] += 1
        self.seconds.append(seconds)

    @property
    def p95(self) -> float:
        return quantiles(self.seconds, n=20)[-1] if len(self.seconds) > 1 else float("inf")

    @property
    def errors(self) -> float:
        bad = sum(n for answer, n in self.answers.items() if not answer.startswith(("2", "3")))
        return bad / max(1, len(self.seconds))

    def faults(self, *, p95: float) -> list[str]:
        """In words; none where it holds."""
        found = []
        if (asked := len(self.seconds)) < LEAST:
            found.append(f"only {asked} requests were answered, fewer than {LEAST}")
        if self.errors > MOST_ERRORS:
            found.append(f"{self.errors:.2%} of the requests failed: {dict(self.answers)}")
        if self.p95 > p95:
            found.append(f"p95 is {self.p95:.3f} s, over {p95:g} s")
        return found


async def load(url: str, *, key: str, clients: int, seconds: float) -> Tally:
    tally = Tally()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT) as client:
        ask, until = _converse if key else _greet, time.monotonic() + seconds
        await asyncio.gather(*(_again(ask, client, tally, until) for _ in range(clients)))
    return tally


async def _again(ask: Ask, client: httpx2.AsyncClient, tally: Tally, until: float) -> None:
    while time.monotonic() < until:
        await ask(client, tally)


async def _greet(client: httpx2.AsyncClient, tally: Tally) -> None:
    await _send(client, tally, "GET", "/health")


async def _converse(client: httpx2.AsyncClient, tally: Tally) -> None:
    session = await _send(client, tally, "POST", "/chat/sessions")
    if session:
        for path in (session, f"{session}/history", f"{session}/events"):
            await _send(client, tally, "GET", path)


async def _send(client: httpx2.AsyncClient, tally: Tally, method: str, path: str) -> str:
    """Where what was made is, if anything."""
    began = time.monotonic()
    try:
        answer = await client.request(method, path)
        told, place = str(answer.status_code), answer.headers.get("location", "")
    except httpx2.TransportError as error:
        told, place = type(error).__name__, ""
    tally.note(told, time.monotonic() - began)
    return place


def main() -> int:
    given = os.environ
    url, where = given.get("URL", ""), given.get("ENVIRONMENT", "")
    if not (url or where):
        sys.exit("load: give URL=https://… or ENVIRONMENT=staging")
    url = url or f"https://{place(where, PROJECT).host}"
    clients, seconds = int(given.get("CLIENTS", "10")), float(given.get("SECONDS", "60"))
    tally = asyncio.run(load(url, key=given.get("KEY", ""), clients=clients, seconds=seconds))
    print(f"{len(tally.seconds)} requests of {clients} clients in {seconds:g} s: {tally.answers}")
    print(f"p95 {tally.p95:.3f} s, {tally.errors:.2%} failed")
    faults = tally.faults(p95=float(given.get("P95", "1")))
    print(*faults, sep="\n", end="\n" if faults else "", file=sys.stderr)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())

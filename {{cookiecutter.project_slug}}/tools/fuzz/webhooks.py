"""Nothing that is almost signed is taken, and what is signed still is."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import psycopg
from fastapi import FastAPI

from {{ cookiecutter.package_name }}.settings import Settings

from .deliveries import WAYS, Call, genuine, odd, rotated
from .headers import CLIENT_ERROR, Outcome, ask, routes

PATH = "/hooks/{sender}"
STANDING = """SELECT (SELECT count(*) FROM sessions),
    (SELECT count(*) FROM events WHERE data->>'kind' = 'user_spoke')"""
Standing = tuple[int, int]
"""Sessions, and messages in them."""


@dataclass
class Door:
    """Where deliveries come in, and what is wrong with its answers."""

    app: FastAPI
    state: Any
    outcome: Outcome = field(default_factory=Outcome)

    def __post_init__(self) -> None:
        (self._route,) = [route for route in routes(self.app.openapi()) if route.path == PATH]

    async def answers(self, call: Call, kind: str) -> int:
        path = PATH.format(sender=call.sender)
        given = {"state": self.state, "body": call.body}
        status, content_type = await ask(self.app, "POST", path, call.headers, **given)
        self.outcome.add(kind, status)
        if fault := self._route.fault(status, content_type):
            self.fault(f"{kind}: {fault}")
        return status

    async def takes(self, call: Call, kind: str) -> None:
        if (status := await self.answers(call, kind)) >= CLIENT_ERROR:
            self.fault(f"{kind}: a delivery that is signed is refused with {status}")

    async def refuses(self, call: Call, kind: str) -> None:
        if (status := await self.answers(call, kind)) < CLIENT_ERROR:
            self.fault(f"{kind}: a delivery that is not signed so is taken with {status}")

    def leaves(self, standing: Standing, *, started: int, since: Standing) -> None:
        expected = (since[0] + started, since[1] + started)
        if standing != expected:
            self.fault(f"sessions and messages are {standing} where {expected} would be right")

    def fault(self, what: str) -> None:
        self.outcome.faults[what] += 1


async def fuzz(app: FastAPI, *, cases: int, seed: int) -> Outcome:
    """What came of so many mutants, between genuine deliveries; and of odd ones, well signed."""
    random, settings = Random(seed), app.state.settings
    lifespan: Any = app.router.lifespan_context(app)
    began = _standing(settings)
    async with lifespan as state:
        door = Door(app, state)
        call = genuine(settings, text="before them")
        await door.takes(call, "genuine")
        door.leaves(_standing(settings), started=1, since=began)
        for number in range(cases):
            way = WAYS[number % len(WAYS)]
            await door.refuses(way(random, call, settings), way.__name__)
        await door.takes(call, "replayed")
        door.leaves(_standing(settings), started=1, since=began)
        await door.takes(genuine(settings, text="after them"), "genuine")
        for call in rotated(settings):
            await door.takes(call, "rotated")
        door.leaves(_standing(settings), started=3, since=began)
        for _ in range(cases // 10):
            await door.answers(odd(random, settings), "odd")
    return door.outcome


def _standing(settings: Settings) -> Standing:
    with psycopg.connect(settings.direct_url.get_secret_value()) as connection:
        sessions, messages = connection.execute(STANDING).fetchone() or (0, 0)
        return int(sessions), int(messages)

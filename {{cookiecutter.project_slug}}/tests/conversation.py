"""An agent in conversation: the loop in memory, a script for a model, a clock that stands still."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files

from {{ cookiecutter.package_name }}.adapters.outbound import make_http
from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.acts import Acts
from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.loop import Loop
from {{ cookiecutter.package_name }}.agent.ports import Replied, Request
from {{ cookiecutter.package_name }}.agent.prompts import choose
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.cache import Cached
from {{ cookiecutter.package_name }}.ledger import Ledger, World

from .fakes import FakeCache, FakeLedger, FakeModel

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SESSION = "00000000-0000-0000-0000-000000000001"
MOST_STEPS = 200


def world(ledger: Ledger | None = None) -> World:
    """What tools reach; of the web, what the unit tests' guard lets through: nothing."""
    return World(
        ledger=ledger or FakeLedger(),
        clock=lambda: NOW,
        cached=Cached(FakeCache(), ttl=60),
        open_http=lambda: make_http(""),
    )


def cases(agent: Callable[[World], Agent]) -> list[tuple[str, str]]:
    """What the agent's evals say, and the part of an answer that each expects."""
    folder = files(agent.__module__) / "evals"
    found = [
        json.loads(file.read_text()) for file in folder.iterdir() if file.name != "__pycache__"
    ]
    return [(case["say"], case["expect"]) for file in found for case in file]


class Conversation:
    """Each event is stored and read again, as between two workers."""

    def __init__(
        self, agent: Agent, script: Callable[[Request], Replied], *, context_tokens: int = 16_000
    ) -> None:
        self.model = FakeModel(script=script)
        self.heard: list[str] = []
        acts = Acts(agent=agent, clock=lambda: NOW, decision_time=timedelta(days=7))
        self.loop = Loop(
            model=self.model,
            acts=acts,
            on_text=self.heard.append,
            context_tokens=context_tokens,
        )
        self.events: list[e.AnyEvent] = []
        self.thread = Thread(SESSION)
        prompt = choose(agent.prompts, "")
        self.happens(e.SessionStarted(at=NOW, agent=agent.name, prompt=prompt))

    @property
    def status(self) -> str:
        return self.thread.session.status

    @property
    def waiting(self) -> list[e.Call]:
        """The calls that wait for a person."""
        return [known.call for known in self.thread.session.pending]

    @property
    def called(self) -> list[str]:
        """Every tool that was to be called, in order."""
        return [v.call.tool for v in self.events if isinstance(v, e.ToolRequested)]

    def say(self, text: str) -> str:
        return self.happens(e.UserSpoke(at=NOW, text=text))

    def approve(self) -> str:
        return self.happens(e.ToolApproved(at=NOW, call_id=self.waiting[0].id, by="ada"))

    def deny(self, comment: str) -> str:
        call_id = self.waiting[0].id
        return self.happens(e.ToolDenied(at=NOW, call_id=call_id, by="ada", comment=comment))

    def answer(self, text: str) -> str:
        call_id = self.waiting[0].id
        return self.happens(e.PersonAnswered(at=NOW, call_id=call_id, by="ada", answer=text))

    def happens(self, event: e.AnyEvent) -> str:
        """What the agent answers to that, once it has come to rest; empty where it does not."""
        before = len(self.events)
        self._store(event)
        asyncio.run(self._advance())
        told = [v.text for v in self.events[before:] if isinstance(v, e.AgentAnswered)]
        return "".join(told[-1:])

    async def _advance(self) -> None:
        for _ in range(MOST_STEPS):
            if self.status != "ready":
                return
            self._store(*await self.loop.step(self.thread))
        raise AssertionError(f"no rest after {MOST_STEPS} steps: {self.called}")

    def _store(self, *events: e.AnyEvent) -> None:
        rows = [(v.model_dump_json(), e.version(v.kind)) for v in events]
        again = [e.read(data, version) for data, version in rows]
        self.events += again
        self.thread = self.thread.after(*again)

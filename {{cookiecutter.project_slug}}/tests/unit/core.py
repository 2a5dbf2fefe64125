"""The agent core by itself: histories, a small agent, and a player that steps a session."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.acts import Acts
from {{ cookiecutter.package_name }}.agent.context import build
from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.loop import Loop
from {{ cookiecutter.package_name }}.agent.ports import Replied, Request, Wanted
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.agent.tools import Tool, ToolError, tool

from ..fakes import FakeModel

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STARTED = e.SessionStarted(at=NOW, agent="a", prompt="v1")
Events = list[e.AnyEvent]


@tool
async def look(place: str = "here") -> str:
    """Look at a place."""
    return f"{place} is well"


@tool
async def stumble() -> str:
    """Fall."""
    raise ToolError("broken")


@tool(permission="ask")
async def deploy(version: str) -> dict[str, str]:
    """Deploy a version."""
    return {"deployed": version}


@tool(idempotent=False)
async def send(text: str) -> str:
    """Send a letter."""
    return f"sent {text}"


def make_agent(*tools: Tool, **changes: Any) -> Agent:
    tools = tools or (look, stumble, deploy, send)
    return Agent(name="a", description="", prompts={"v1": "Be good."}, tools=tools, **changes)


def said(text: str) -> e.UserSpoke:
    return e.UserSpoke(at=NOW, text=text)


def thought(*calls: e.Call, seen: int, text: str = "") -> e.ModelAnswered:
    return e.ModelAnswered(at=NOW, seen=seen, text=text, calls=calls, model="m")


def call(number: int, name: str = "look", **arguments: object) -> e.Call:
    return e.Call(id=f"c{number}", tool=name, arguments=arguments)


def requested(call: e.Call, permission: str = "auto") -> e.ToolRequested:
    return e.ToolRequested(at=NOW, call=call, permission=permission)


def returned(number: int, result: object = "well") -> e.ToolReturned:
    return e.ToolReturned(at=NOW, call_id=f"c{number}", result=result)


def answered(text: str = "done") -> e.AgentAnswered:
    return e.AgentAnswered(at=NOW, text=text)


def history(*events: e.AnyEvent) -> Thread:
    return Thread.of("s", [STARTED, *events])


def stored(events: Iterable[e.AnyEvent]) -> Events:
    """The events as another process reads them."""
    return [e.read(event.model_dump_json(), e.version(event.kind)) for event in events]


def show(lines: Iterable[str]) -> str:
    """The session and the request that stored events give, as text."""
    thread = Thread.of("s", [e.read(line, 1) for line in lines])
    return f"{thread.session.model_dump_json()}\n{build(thread, make_agent(planning=True))}"


def wants(*calls: tuple[str, dict[str, Any] | str], text: str = "") -> Replied:
    return Replied(text, tuple(Wanted(name, arguments) for name, arguments in calls))


class Player:
    """A session in memory; what happens `meanwhile` is stored before what a step has done."""

    def __init__(
        self,
        agent: Agent,
        *says: Replied | Exception,
        script: Callable[[Request], Replied] | None = None,
        context_tokens: int = 16_000,
    ) -> None:
        self.agent = agent
        self.model = FakeModel(*says, script=script)
        self.heard: list[str] = []
        self.context_tokens = context_tokens
        self.events: Events = [STARTED]
        self.begin()

    def begin(self) -> None:
        """In another process: only what is stored is known."""
        acts = Acts(agent=self.agent, clock=lambda: NOW, decision_time=timedelta(days=7))
        self.loop = Loop(
            model=self.model,
            acts=acts,
            on_text=self.heard.append,
            context_tokens=self.context_tokens,
        )
        self.thread = Thread.of("s", stored(self.events))

    @property
    def status(self) -> str:
        return self.thread.session.status

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    @property
    def answers(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, e.AgentAnswered)]

    @property
    def pending(self) -> list[str]:
        return [known.call.id for known in self.thread.session.pending]

    def store(self, *events: e.AnyEvent) -> None:
        self.events += events
        self.thread = self.thread.after(*events)

    async def step(self, *meanwhile: e.AnyEvent, killed: bool = False) -> Events:
        events = await self.loop.step(self.thread)
        assert stored(events) == events, "the same in this process as in the next"
        self.store(*meanwhile)
        if not killed and not (meanwhile and isinstance(events[0], e.ContextCompacted)):
            self.store(*events)
        return events

    def run(self, *events: e.AnyEvent) -> str:
        """The status once there is nothing more to do."""
        self.store(*events)

        async def steps() -> None:
            for _ in range(200):
                if self.status != "ready":
                    return
                await self.step()
            raise AssertionError(f"no rest: {self.kinds[-20:]}")

        asyncio.run(steps())
        return self.status

    def say(self, text: str = "hello") -> str:
        return self.run(said(text))

    def approve(self, call_id: str) -> str:
        return self.run(e.ToolApproved(at=NOW, call_id=call_id, by="ann"))

    def deny(self, call_id: str) -> str:
        return self.run(e.ToolDenied(at=NOW, call_id=call_id, by="ann", comment="not today"))

    def answer(self, call_id: str, text: str) -> str:
        return self.run(e.PersonAnswered(at=NOW, call_id=call_id, by="ann", answer=text))

    def texts(self) -> list[str]:
        """What the model was shown last."""
        return [message.text for message in self.model.asked[-1].messages]

"""Random histories: people, models and processes do what they may, at any time and in any order."""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.limits import Limits
from {{ cookiecutter.package_name }}.agent.ports import Message, Replied, Request, Result, Said
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.agent.tools import Context, tool
from {{ cookiecutter.package_name }}.errors import ModelError

from .core import NOW, Player, deploy, look, make_agent, said, stored, stumble, wants

HISTORIES, PARTS, STEPS = 90, 3, 30
PLAN = ("plan", {"tasks": [{"id": "t", "title": "try"}]})
SURE = ("finish", {"answer": "so it is", "confidence": 0.9})
WANTED: tuple[tuple[str, dict[str, Any] | str], ...] = (
    PLAN,
    SURE,
    ("finish", {"answer": "perhaps", "confidence": 0.1}),
    ("look", {"place": "there"}),
    ("look", {"plaec": "there"}),
    ("look", "{"),
    ("stumble", {}),
    ("deploy", {"version": "1.2"}),
    ("send", {"text": "x" * 400}),
    ("ask_person", {"question": "why?"}),
    ("gone", {}),
)


@tool(idempotent=False)
async def send(text: str, context: Context) -> None:
    """Send a letter, once."""
    SENT.append(context.key)


SENT: list[str] = []
AGENTS = [
    make_agent(
        *(look, stumble, deploy, send),
        planning=n % 2 == 0,
        reflection=n % 3 == 0,
        finishes=n % 5 == 0,
        limits=Limits(steps=6, confidence=0.5),
    )
    for n in range(30)
]


class Storm:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.is_calm = False
        self.shown: tuple[int, tuple[Message, ...]] = (0, ())
        self.budget = 2_500 if seed % 4 == 0 else 16_000
        self.play = Player(
            AGENTS[seed % len(AGENTS)], script=self.reply, context_tokens=self.budget
        )

    def reply(self, request: Request) -> Replied:
        assert request.tokens <= self.budget
        check_form(request)
        dice = 0.3 if self.is_calm else self.random.random()
        if dice < 0.1:
            raise ModelError("down")
        if dice < 0.15:
            return Replied("")
        if self.is_calm and request.must_call:
            return wants(PLAN if len(request.tools) == 1 else SURE)
        if dice < 0.4:
            return Replied("well " * self.random.randrange(1, 60))
        return wants(*self.random.choices(WANTED, k=self.random.randrange(1, 4)))

    def happens(self) -> Iterator[e.AnyEvent]:
        """What people may do now, by the rules of the service."""
        session, dice = self.play.thread.session, self.random.random()
        if session.ended or (session.status == "ready" and dice < 0.5):
            return
        if dice < 0.003 or 0.5 < dice < 0.502:
            yield e.SessionCancelled(at=NOW, by="ann")
        elif session.pending and dice < 0.75:
            yield self.decide()
        elif session.paused is not None:
            yield e.SessionResumed(at=NOW, by="ann", more=e.Budget(steps=3))
        elif dice < 0.95:
            yield said("hello " * self.random.randrange(1, 90))
        else:
            yield e.SessionPaused(at=NOW, reason="wait", by="ann")

    def decide(self) -> e.AnyEvent:
        known = self.random.choice(self.play.thread.session.pending)
        call_id, dice = known.call.id, 1 if self.is_calm else self.random.random()
        if dice < 0.2:
            return e.ToolDenied(at=NOW, call_id=call_id, by="ann")
        if dice < 0.3:
            return e.DecisionTimedOut(at=NOW, call_id=call_id)
        if known.permission == "ask":
            return e.ToolApproved(at=NOW, call_id=call_id, by="ann")
        return e.PersonAnswered(at=NOW, call_id=call_id, by="ann", answer="yes")

    async def rage(self) -> None:
        self.play.store(said("begin"))
        for _ in range(STEPS):
            if self.play.status != "ready":
                self.play.store(*self.happens())
                continue
            killed = self.random.random() < 0.1
            events = await self.play.step(*self.happens(), killed=killed)
            if isinstance(events[0], e.ModelAnswered) and not killed:
                self.check_beginning(events[0])
            if killed:
                self.play.begin()

    async def calm_down(self) -> None:
        """Everybody does what is asked of them."""
        self.is_calm = True
        while (status := self.play.status) not in {"idle", "done", "cancelled"}:
            if status == "paused":
                more = e.Budget(steps=1000, tokens=10**9)
                self.play.store(e.SessionResumed(at=NOW, by="ann", more=more))
            elif status == "waiting":
                self.play.store(self.decide())
            else:
                await self.play.step()
            assert len(self.play.events) < 500, f"no rest: {self.play.kinds[-20:]}"

    def check_beginning(self, answer: e.ModelAnswered) -> None:
        """It stays until a compaction, for the provider's cache."""
        compactions, before = self.shown
        messages = self.play.model.asked[-1].messages
        was_cut = "characters left out" in f"{before}{messages}"
        if compactions == self.play.kinds.count("context_compacted") and not was_cut:
            assert messages[: len(before)] == before
        asked = answer.purpose != "think"  # for a plan, or a reflection: at the end, and once
        self.shown = self.play.kinds.count("context_compacted"), messages[: len(messages) - asked]


def check_form(request: Request) -> None:
    """What every provider wants."""
    assert isinstance(request.messages[0], Said)
    assert not isinstance(request.messages[-1], Replied)
    due: list[str] = []
    for message in request.messages:
        if isinstance(message, Result):
            assert message.call_id == due.pop(0)
            continue
        assert not due
        if isinstance(message, Replied):
            assert message.calls or message.text.strip()
            due = [wanted.id for wanted in message.calls]
    assert not due


def unanswered(events: list[e.AnyEvent]) -> list[int]:
    """The places of messages that the model had not seen when it last answered."""
    waiting, seen = list[int](), 0
    for seq, event in enumerate(events, 1):
        match event:
            case e.UserSpoke():
                waiting.append(seq)
            case e.ModelAnswered(purpose="think"):
                seen = event.seen
            case e.AgentAnswered():
                waiting = [place for place in waiting if place > seen]
    return waiting


@pytest.mark.parametrize("part", range(PARTS))
def test_no_history_breaks_the_core(part: int) -> None:
    async def weather() -> None:
        for seed in range(part, HISTORIES, PARTS):
            SENT.clear()
            storm = Storm(seed)
            await storm.rage()
            await storm.calm_down()
            events, thread = storm.play.events, storm.play.thread
            if thread.session.ended is None:
                assert not unanswered(events)
                assert not thread.session.open
            assert len(SENT) == len(set(SENT)), "nothing is sent twice"
            assert Thread.of("s", stored(events)) == thread
            base = len(events) - len(thread.events)
            if "context_compacted" in storm.play.kinds:
                assert Thread.of("s", stored(events[base:]), base=base) == thread

    asyncio.run(weather())

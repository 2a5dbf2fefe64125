"""What the agent asks of a model, and what it gets: the same for every provider."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from .events import Usage, as_json, size_of

BYTES_A_TOKEN = 3
NAME_LENGTH, NO_NAME = 64, re.compile(r"[^\w-]", re.ASCII)


@dataclass(frozen=True)
class Said:
    """By the user, or by the service in the user's place."""

    text: str


@dataclass(frozen=True)
class Wanted:
    """A tool call as the model made it; text where its arguments were no JSON object."""

    tool: str
    arguments: dict[str, Any] | str
    id: str = ""

    @property
    def name(self) -> str:
        """The tool's, as every provider takes it: one that no tool can have is refused for good."""
        return NO_NAME.sub("_", self.tool)[:NAME_LENGTH] or "_"

    @property
    def given(self) -> dict[str, Any]:
        """An object in any case: what is none is kept to be refused."""
        if isinstance(self.arguments, str):
            return {"not JSON": self.arguments[:100]}
        return self.arguments


@dataclass(frozen=True)
class Replied:
    """By the model."""

    text: str
    calls: tuple[Wanted, ...] = ()


@dataclass(frozen=True)
class Result:
    """What came of a call of the Replied before it."""

    call_id: str
    tool: str
    text: str


Message = Said | Replied | Result


@dataclass(frozen=True)
class Offer:
    """A tool as the model sees it."""

    name: str
    description: str
    schema: dict[str, Any]

    @cached_property
    def text(self) -> str:
        return self.description + as_json(self.schema)


@dataclass(frozen=True)
class Request:
    """Exactly what the model sees, whatever the provider."""

    instructions: str
    messages: tuple[Message, ...]
    tools: tuple[Offer, ...] = ()
    must_call: bool = False
    """Text alone is no answer: one of the tools has to be called."""

    @cached_property
    def tokens(self) -> int:
        """About so many; rather too many than too few."""
        calls = (c for m in self.messages if isinstance(m, Replied) for c in m.calls)
        texts = [m.text for m in self.messages] + [c.tool + as_json(c.arguments) for c in calls]
        offers = (offer.text for offer in self.tools)
        size = sum(map(size_of, (self.instructions, *texts, *offers)))
        return size // BYTES_A_TOKEN + 4 * (1 + len(self.messages))


@dataclass(frozen=True)
class Answer:
    text: str
    calls: tuple[Wanted, ...]
    usage: Usage
    model: str


class Model(Protocol):
    """Answers within its time, retries and fallbacks included, or raises ModelError."""

    async def answer(self, request: Request, *, on_text: Callable[[str], None]) -> Answer: ...


class Named(Model, Protocol):
    """A single one, as in openai:gpt-5.2."""

    @property
    def name(self) -> str: ...

"""The scripted model: an agent's own script in the model's place, for want of a key or of chance.

`scripted:NAME` is `agents/NAME/script.py`; `scripted:NAME?seconds=2` takes its time over it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from urllib.parse import parse_qsl

from .. import agents
from ..agent.ports import Answer, Replied, Request
from .answers import estimated

WORDS = re.compile(r"\S+\s*|\s+")
Script = Callable[[Request], Replied]


@dataclass(frozen=True)
class Scripted:
    """Answers what the script says, word by word, for nothing."""

    name: str
    script: Script
    seconds: float = 0
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    async def answer(self, request: Request, *, on_text: Callable[[str], None]) -> Answer:
        await self.sleep(self.seconds)
        reply = self.script(request)
        for word in WORDS.findall(reply.text):
            on_text(word)
        return Answer(reply.text, reply.calls, estimated(request, reply), self.name)


def make_scripted(rest: str) -> Scripted:
    """The model of `scripted:` and this; a ValueError that says what it may be."""
    name, _, options = rest.partition("?")
    if not agents.names():
        return Scripted("scripted:nobody", lambda _: Replied("There is no agent."))
    if name not in (known := scripts()):
        raise ValueError(f"the scripts are {', '.join(known) or 'none'}")
    script = import_module(f"{agents.__name__}.{name}.script").script
    return Scripted(f"scripted:{name}", script, _seconds(options))


def scripts() -> list[str]:
    """The agents that have one."""
    return [name for name in agents.names() if find_spec(f"{agents.__name__}.{name}.script")]


def first_script() -> str:
    """The agent that a session has which names none, where it has a script."""
    return next(iter(scripts()), "nobody")


def _seconds(options: str) -> float:
    match parse_qsl(options, keep_blank_values=True):
        case []:
            return 0
        case [("seconds", text)]:
            if re.fullmatch(r"\d{1,6}(\.\d+)?", text, re.ASCII):
                return float(text)
    raise ValueError("after the ? comes seconds=2 or another number, and nothing else")

"""A new agent, as files that run at once: a script plays it, and a test holds it to its evals."""

import re
from contextlib import suppress
from keyword import iskeyword
from pathlib import Path
from string import Template

from .errors import AppError

PACKAGE = __name__.partition(".")[0]
RULE = (
    "take at most 32 lower-case letters, digits and underscores, a letter first, "
    "no word of Python, as in billing_support"
)

INIT = '''"""The $name agent: say here what it is for."""

from importlib.resources import files

from ...agent.definition import Agent
from ...agent.prompts import read_prompts
from ...ledger import World
from .tools import make_tools


def agent(world: World) -> Agent:
    return Agent(
        name="$name",
        description="Tells the time.",
        prompts=read_prompts(files(__name__) / "prompts"),
        tools=make_tools(world),
    )
'''

TOOLS = '''"""What the agent can do: typed functions, whose docstrings the model reads."""

from ...agent.tools import Tool, tool
from ...ledger import World


def make_tools(world: World) -> tuple[Tool, ...]:
    @tool
    def tell_time() -> str:
        """The time now, in UTC."""
        return world.clock().isoformat(timespec="seconds")

    return (tell_time,)
'''

SCRIPT = '''"""Plays the model without a key: a pure function of what it is shown."""

from ...agent.ports import Replied, Request, Result, Wanted


def script(request: Request) -> Replied:
    last = request.messages[-1]
    if isinstance(last, Result):
        return Replied(f"It is {last.text}.")
    if "time" in last.text:
        return Replied("", (Wanted("tell_time", {}),))
    return Replied("Ask me what time it is.")
'''

PROMPT = """You tell the time. Call `tell_time` for it, never guess, and answer in one sentence.
"""

EVALS = """[
  { "say": "hello", "expect": "what time it is" },
  { "say": "what time is it?", "expect": "It is 2" }
]
"""

TEST = '''"""The agent does what its evals promise, with its script for a model."""

import pytest

from $package.agents.$name import agent
from $package.agents.$name.script import script

from ..conversation import Conversation, cases, world


@pytest.mark.parametrize(("say", "expect"), cases(agent))
def test_it_answers_as_its_evals_say(say: str, expect: str) -> None:
    assert expect in Conversation(agent(world()), script).say(say)
'''

FILES = {
    "src/$package/agents/$name/__init__.py": INIT,
    "src/$package/agents/$name/tools.py": TOOLS,
    "src/$package/agents/$name/script.py": SCRIPT,
    "src/$package/agents/$name/prompts/v1.md": PROMPT,
    "src/$package/agents/$name/evals/smoke.json": EVALS,
    "tests/unit/test_agent_$name.py": TEST,
}


def new_agent(name: str, *, root: Path) -> list[Path]:
    """The files of a new agent, written into the project at root; all of them or none."""
    if not (agents := root / "src" / PACKAGE / "agents").is_dir():
        raise AppError(f"there is no {agents}: run it in the folder of the project")
    words = {"name": _module(name), "package": PACKAGE}
    texts = {
        root / Template(path).substitute(words): Template(text).substitute(words)
        for path, text in FILES.items()
    }
    if taken := [str(file) for file in texts if file.exists()]:
        raise AppError(f"{taken[0]} exists: take another name than {words['name']!r}")
    try:
        for file, text in texts.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        for written in texts:
            with suppress(OSError):
                written.unlink()
        raise AppError(f"{file} can't be written: {error.strerror}") from error
    return list(texts)


def _module(name: str) -> str:
    module = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", module) or iskeyword(module):
        raise AppError(f"{name[:80]!r} is no name for an agent: {RULE}")
    return module

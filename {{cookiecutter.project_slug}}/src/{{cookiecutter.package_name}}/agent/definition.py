"""What an agent is: small, with its own prompt, tools and limits (factor A10)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .limits import Limits
from .own import ask_person, finish, plan
from .ports import Offer
from .tools import Tool, ToolError

DEFAULT = Limits()


@dataclass(frozen=True, kw_only=True)
class Agent:
    name: str
    description: str
    prompts: Mapping[str, str]
    tools: tuple[Tool, ...] = ()
    limits: Limits = DEFAULT
    planning: bool = False
    reflection: bool = False
    finishes: bool = False
    """It ends with `finish`, and so with a confidence; else with plain text."""
    prefetch: Callable[[], Awaitable[dict[str, Any]]] | None = None
    """What it will surely need, fetched before the model is asked (factor A13)."""

    def __post_init__(self) -> None:
        names = [tool.name for tool in self.offered]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"agent {self.name} has two tools of the name {', '.join(twice)}")

    @cached_property
    def offered(self) -> tuple[Tool, ...]:
        """Every tool that the model may call; the same list each time, for the provider's cache."""
        own = (finish,) * self.finishes + (plan,) * self.planning
        return (*self.tools, ask_person, *own)

    @cached_property
    def offers(self) -> tuple[Offer, ...]:
        return tuple(tool.offer for tool in self.offered)

    def tool(self, name: str) -> Tool:
        for tool in self.offered:
            if tool.name == name:
                return tool
        known = ", ".join(tool.name for tool in self.offered)
        raise ToolError(f"there is no tool {name!r}: only {known}")

"""What an agent is: small, with its own prompt, tools and limits (factor A10)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from .limits import Limits
from .planning import PLAN_TOOL
from .ports import Offer
from .tools import ASK_PERSON, Tool, ToolError


class Finish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    answer: Annotated[str, Field(description="What the user is told.")]
    confidence: Annotated[float, Field(ge=0, le=1, description="How sure you are: 0 to 1.")] = 1.0


def _never(**_: object) -> None:
    raise ToolError("the loop finishes by itself")


FINISH = Tool(
    name="finish",
    description="Say that the goal is reached, and what came of it. Call no other tool with it.",
    arguments=Finish,
    run=_never,
)


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
        own = (FINISH,) * self.finishes + (PLAN_TOOL,) * self.planning
        return (*self.tools, ASK_PERSON, *own)

    @cached_property
    def offers(self) -> tuple[Offer, ...]:
        return tuple(tool.offer for tool in self.offered)

    def tool(self, name: str) -> Tool:
        for tool in self.offered:
            if tool.name == name:
                return tool
        known = ", ".join(tool.name for tool in self.offered)
        raise ToolError(f"there is no tool {name!r}: only {known}")

"""The agents of this service, one folder each: definition, prompts, tools, script, evals.

A folder's `agent(world)` gives its Agent; its `script`, if any, is what `MODEL=scripted:NAME` says.
"""

from importlib import import_module
from pkgutil import iter_modules

from ..agent.definition import Agent
from ..ledger import World


def names() -> list[str]:
    return sorted(module.name for module in iter_modules(__path__) if module.ispkg)


def load(world: World) -> dict[str, Agent]:
    """Every agent by its name."""
    return {name: import_module(f".{name}", __name__).agent(world) for name in names()}

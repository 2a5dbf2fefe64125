"""The example: an agent that decides releases with people. Delete this folder when yours is there.

It proposes, asks a person before production, records in the ledger, checks, and rolls back.
"""

from importlib.resources import files

from ...agent.definition import Agent
from ...agent.limits import Limits
from ...agent.prompts import read_prompts
from ...ledger import World
from .tools import Releases


def agent(world: World) -> Agent:
    releases = Releases(world)
    return Agent(
        name="release",
        description="Decides releases with people, and keeps the deployment ledger.",
        prompts=read_prompts(files(__name__) / "prompts"),
        tools=releases.tools(),
        limits=Limits(steps=12),
        planning=True,
        prefetch=releases.facts,
    )

"""`agents`: who answers here, and how to begin one of your own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import AsJson, as_json, run

if TYPE_CHECKING:
    from ...agent.definition import Agent
    from ...bootstrap import App

agents = typer.Typer(no_args_is_help=True)


@agents.command("list")
def list_(*, json: AsJson = False) -> None:
    """List the agents of this release: what each is for, its prompts and tools."""

    async def known(app: "App") -> list["Agent"]:
        return list(app.service.agents.values())

    found = [_shown(agent) for agent in run(known)]
    if json:
        typer.echo(as_json(found))
        return
    for name, description, prompts, tools in (tuple(shown.values()) for shown in found):
        typer.echo(f"{name}: {description}")
        typer.echo(f"  prompts {', '.join(prompts)}; tools {', '.join(tools)}")


@agents.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the agent and its folder, as in billing.")],
) -> None:
    """Write a new agent that runs at once, with its prompt, tools, evals and a test."""
    from ...scaffold import new_agent

    for file in new_agent(name, root=Path.cwd()):
        typer.echo(file)


def _shown(agent: "Agent") -> dict[str, str | list[str]]:
    return {
        "name": agent.name,
        "description": agent.description,
        "prompts": list(agent.prompts),
        "tools": [tool.name for tool in agent.offered],
    }

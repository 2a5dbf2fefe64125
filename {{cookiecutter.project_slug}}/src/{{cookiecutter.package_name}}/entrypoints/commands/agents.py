"""`agents`: who answers here, and how to begin one of your own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...about import about
from . import AsJson, as_json, run, tell

if TYPE_CHECKING:
    from ...bootstrap import App

agents = typer.Typer(no_args_is_help=True)


@agents.command("list")
def list_(*, json: AsJson = False) -> None:
    """List the agents of this release: what each is for, its prompts and tools."""

    async def known(app: "App") -> dict[str, dict[str, object]]:
        return {
            agent.name: {
                "description": agent.description,
                "prompts": list(agent.prompts),
                "tools": [tool.name for tool in agent.offered],
            }
            for agent in app.service.agents.values()
        }

    found = run(known)
    if json:
        typer.echo(as_json(found))
        return
    for name, shown in found.items():
        typer.echo(f"{name}: {shown['description']}")


@agents.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the agent and its folder, as in billing.")],
    *,
    json: AsJson = False,
) -> None:
    """Write a new agent that runs at once, with its prompt, tools, evals and a test."""
    from ...scaffold import new_agent

    files = new_agent(name, root=Path.cwd())
    tell({"files": files}, "\n".join(map(str, files)), json=json)
    made = files[0].parent.name
    typer.echo(f"\nrun it:        DEFAULT_AGENT={made} MODEL=scripted:{made} make up", err=True)
    typer.echo(f"talk with it:  {about().slug} chat --agent {made}", err=True)

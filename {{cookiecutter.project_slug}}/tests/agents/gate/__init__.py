"""A focused agent of the tests' own: one question, one tool, at most three steps."""

from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.limits import Limits
from {{ cookiecutter.package_name }}.agent.tools import ToolError, tool
from {{ cookiecutter.package_name }}.ledger import World


@tool(permission="ask")
def allow_in_production(version: str) -> str:
    """Lets a version go on, once a person has approved; but for one that is cursed."""
    if version.endswith("-cursed"):
        raise ToolError("nobody can let that go on")
    return f"{version} may go on"


def agent(_: World) -> Agent:
    prompts = {"v1": "You decide whether a version may go on."}
    tools, limits = (allow_in_production,), Limits(steps=3)
    return Agent(name="gate", description="Decides.", prompts=prompts, tools=tools, limits=limits)

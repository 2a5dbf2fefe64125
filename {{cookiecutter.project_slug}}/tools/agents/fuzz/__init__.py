"""The agent that is fuzzed: of what it is told it answers some, and needs a person for the rest."""

from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.tools import tool
from {{ cookiecutter.package_name }}.ledger import World


@tool(permission="ask")
def risk(size: int) -> str:
    """Does something that a person has to agree to."""
    return f"dared {size}"


def agent(_: World) -> Agent:
    prompts = {"v1": "You do as you are told, where you may."}
    return Agent(name="fuzz", description="Is told odd things.", prompts=prompts, tools=(risk,))

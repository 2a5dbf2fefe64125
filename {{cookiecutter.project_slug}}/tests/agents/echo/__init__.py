"""An agent of the tests' own, so that no test of the service leans on an agent of the product."""

from threading import Event

from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.tools import Context, tool
from {{ cookiecutter.package_name }}.ledger import World


@tool
def act(number: int) -> str:
    """Does something that needs nobody."""
    return f"done {number}"


@tool(permission="ask")
def risk(number: int) -> str:
    """Does something that a person has to agree to."""
    return f"dared {number}"


@tool(seconds=0.2)
def hang(number: int) -> None:
    """Never returns."""
    Event().wait(10**6 * number)


def agent(world: World) -> Agent:
    @tool
    async def book(number: int, context: Context) -> int:
        """Writes a line in the ledger."""
        line = await world.ledger.record(
            key=context.key, version=f"0.0.{number}", environment="staging"
        )
        return line.id

    prompts = {"v1": "You say what you hear."}
    return Agent(name="echo", description="Echoes.", prompts=prompts, tools=(act, risk, hang, book))

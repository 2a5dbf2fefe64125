"""The agent that is measured and hunted: as many steps as it is told, each a line of the ledger."""

import asyncio
from decimal import Decimal
from typing import Any

from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.limits import Limits
from {{ cookiecutter.package_name }}.agent.tools import Context, tool
from {{ cookiecutter.package_name }}.ledger import World

ENDLESS = Limits(steps=10**6, tokens=10**12, cost=Decimal(10**9), seconds=10**9)


def agent(world: World) -> Agent:
    async def act(left: int, size: int, context: Context, ms: int = 0) -> dict[str, Any]:
        """Act once. It takes its time when it is done: whoever dies then has done it."""
        line = await world.ledger.record(
            key=context.key, version=f"1.0.{left}", environment="staging", commit=context.key
        )
        if ms:
            await asyncio.sleep(ms / 1000)
        return {"id": line.id, "left": left, "ms": ms, "size": size, "text": "x" * size}

    return Agent(
        name="bench",
        description="Does what it is told.",
        prompts={"v1": "You do what you are told, one act at a time."},
        tools=(tool(act),),
        limits=ENDLESS,
    )

"""What the release agent can do. It writes to the ledger; what really deploys is yours to call."""

import asyncio
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from ...agent.tools import Context, Tool, ToolError, tool
from ...ledger import Deployment, World

Environment = Literal["development", "staging", "production"]
VERSION = r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9a-z.]+)?$"
Version = Annotated[str, Field(pattern=VERSION, description="As in 1.4.2")]
Line = dict[str, Any]
LOOK_BACK = 50


@dataclass(frozen=True)
class Releases:
    world: World

    def tools(self) -> tuple[Tool, ...]:
        return (
            tool(self.ledger_history),
            tool(self.deploy),
            tool(permission="ask")(self.deploy_to_production),
            tool(self.check_deployment),
            tool(self.roll_back),
            tool(permission="ask")(self.allow_in_production),
        )

    async def facts(self) -> dict[str, Any]:
        """What it would ask for in any case, before the model is asked."""
        places = get_args(Environment)
        recent, *each = await asyncio.gather(
            self.world.ledger.recent(limit=10),
            *(self.world.ledger.recent(place, limit=LOOK_BACK) for place in places),
        )
        return {
            "now": self.world.clock().isoformat(timespec="seconds"),
            "running": {p: _running(lines) for p, lines in zip(places, each, strict=True)},
            "tags": list(dict.fromkeys(line.version for line in recent)),
            "recent": [_shown(line) for line in recent],
        }

    async def ledger_history(
        self,
        environment: Environment | None = None,
        limit: Annotated[int, Field(ge=1, le=LOOK_BACK)] = 10,
    ) -> list[Line]:
        """The newest lines of the deployment ledger, of one environment or of all."""
        return [_shown(line) for line in await self.world.ledger.recent(environment, limit=limit)]

    async def deploy(
        self, version: Version, environment: Literal["development", "staging"], context: Context
    ) -> Line:
        """Deploy a version to development or staging. Check it afterwards."""
        return await self._record(context, version=version, environment=environment)

    async def deploy_to_production(self, version: Version, context: Context) -> Line:
        """Deploy a version to production, once a person has approved. Check it afterwards."""
        return await self._record(context, version=version, environment="production")

    async def check_deployment(self, deployment_id: int) -> Line:
        """See whether a deployment is healthy: its line, now `succeeded` or `failed`."""
        line = await self._line(deployment_id)
        if line.status == "started":
            status = "succeeded" if is_healthy(line) else "failed"
            line = await self.world.ledger.complete(line.id, status=status)
        return _shown(line)

    async def roll_back(self, deployment_id: int, context: Context) -> Line:
        """Put the version that ran before a deployment back; no approval is needed for that."""
        bad = await self._line(deployment_id)
        earlier = await self._good_before(bad)
        line = await self._record(
            context, version=earlier.version, environment=bad.environment, rollback_of=bad.id
        )
        await self.world.ledger.complete(bad.id, status="rolled_back")
        return line

    async def allow_in_production(self, version: Version) -> str:
        """Let a pipeline deploy a version to production, once a person has approved."""
        staged = await self.world.ledger.recent("staging", limit=LOOK_BACK)
        if not any(line.version == version and line.status == "succeeded" for line in staged):
            raise ToolError(f"{version} has not succeeded in staging: ledger_history says what has")
        return f"{version} may go to production"

    async def _record(self, context: Context, **deployment: object) -> Line:
        by = f"session {context.session_id}"
        return _shown(await self.world.ledger.record(key=context.key, deployed_by=by, **deployment))

    async def _line(self, deployment_id: int) -> Deployment:
        if line := await self.world.ledger.get(deployment_id):
            return line
        raise ToolError(f"there is no deployment {deployment_id}: ledger_history lists them")

    async def _good_before(self, bad: Deployment) -> Deployment:
        for line in await self.world.ledger.recent(bad.environment, limit=LOOK_BACK):
            if line.id < bad.id and line.status == "succeeded" and line.version != bad.version:
                return line
        raise ToolError(f"nothing succeeded in {bad.environment} before {bad.version}")


def is_healthy(line: Deployment) -> bool:
    """Ask your monitoring here. In this example a version that ends in -broken is not healthy."""
    return not line.version.endswith("-broken")


def _running(newest_first: list[Deployment]) -> str | None:
    return next((line.version for line in newest_first if line.status == "succeeded"), None)


def _shown(line: Deployment) -> Line:
    known = {name: value for name, value in asdict(line).items() if value not in (None, "")}
    return known | {
        name: value.isoformat(timespec="seconds")
        for name in ("started_at", "completed_at", "committed_at")
        if (value := getattr(line, name))
    }

"""What `seed` plants: a short past, so that a new laptop has something to show."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from ...agent import events as e
from ...agent.ports import Deployment
from ...agent.prompts import choose
from ...agent.session import Thread

if TYPE_CHECKING:
    from ...bootstrap import App

SESSION = "5eed5eed-0000-4000-8000-000000000001"
BAD = 4
PAST = (  # hours ago, version, where, what came of it
    (150, "1.4.0", "staging", "succeeded"),
    (149, "1.4.0", "production", "succeeded"),
    (75, "1.4.1", "staging", "succeeded"),
    (74, "1.4.1", "production", "rolled_back"),
    (73, "1.4.0", "production", "succeeded"),
    (20, "1.4.2", "staging", "succeeded"),
    (2, "1.4.2", "production", "succeeded"),
)
GOAL = "deploy 1.4.2 to production"
ANSWER = "1.4.2 runs in production since a minute ago, after 1.4.0. It is healthy."
MODEL = "an example"


async def seed(app: "App") -> list[str]:
    """Lines of what it has planted; what is there already stays as it is."""
    service = app.service
    planted = []
    if await service.sessions.summary(SESSION) is None:
        thread = _finished(app, began=service.clock() - timedelta(hours=3))
        await service.sessions.start(thread, metadata={"example": True}, lane=service.lane)
        planted.append(f"session {SESSION}, which is done")
    lines = await app.reports.seed_ledger(ledger(service.clock()), key=f"{SESSION}:seed")
    return [*planted, f"{lines} lines in the deployment ledger"] if lines else planted


def ledger(now: datetime) -> list[Deployment]:
    """A week of releases, one of which was rolled back."""
    return [
        Deployment(
            id=number,
            version=version,
            environment=where,
            status=status,
            started_at=(began := now - timedelta(hours=hours)),
            completed_at=began + timedelta(minutes=2),
            deployed_by="an example",
            rollback_of=BAD if number == BAD + 1 else None,
        )
        for number, (hours, version, where, status) in enumerate(PAST, 1)
    ]


def _finished(app: "App", *, began: datetime) -> Thread:
    """A session as the agent leaves it: asked, planned, approved by a person, done, checked."""
    name = app.service.default_agent or next(iter(app.service.agents))
    prompt = choose(app.service.agents[name].prompts, app.service.prompt_version)
    deploy = e.Call(id="c1", tool="deploy_to_production", arguments={"version": "1.4.2"})
    check = e.Call(id="c2", tool="check_deployment", arguments={"deployment_id": 7})
    at = _minutes_after(began)
    events: list[e.AnyEvent] = [
        e.SessionStarted(at=at(0), agent=name, prompt=prompt, metadata={"example": True}),
        e.UserSpoke(at=at(0), text=GOAL),
        e.FactsFetched(at=at(0), facts={"running": {"production": "1.4.0"}}),
        _thought(at(1), seen=3, call=deploy, text="A person has to agree to that."),
        e.ToolRequested(at=at(1), call=deploy, permission="ask"),
        e.ToolApproved(at=at(58), call_id=deploy.id, by="ada", comment="go ahead"),
        e.ToolReturned(at=at(60), call_id=deploy.id, result={"id": 7, "status": "started"}),
        _thought(at(61), seen=7, call=check),
        e.ToolRequested(at=at(61), call=check),
        e.ToolReturned(at=at(61), call_id=check.id, result={"id": 7, "status": "succeeded"}),
        _thought(at(62), seen=10, text=ANSWER),
        e.AgentAnswered(at=at(62), text=ANSWER, done=True),
    ]
    return Thread.of(SESSION, events, lane=app.service.lane)


def _minutes_after(began: datetime) -> Callable[[int], datetime]:
    return lambda minutes: began + timedelta(minutes=minutes)


def _thought(
    at: datetime, *, seen: int, text: str = "", call: e.Call | None = None
) -> e.ModelAnswered:
    usage = e.Usage(input_tokens=400, output_tokens=40, cost=Decimal("0.002"))
    calls = (call,) if call else ()
    return e.ModelAnswered(
        at=at, seen=seen, text=text, calls=calls, model=MODEL, usage=usage, seconds=1.5
    )

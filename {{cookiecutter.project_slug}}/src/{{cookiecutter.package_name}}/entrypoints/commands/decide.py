"""`decide`: a pipeline asks an agent, and through it a person, whether a version may go on (A10).

Deterministic code calls a focused agent at a decision point. What counts is not what the agent says
but what it has called: its tool `allow_in_production`, which waits for a person and came back.
"""

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import NAMESPACE_URL, uuid5

import typer

from ...about import about
from ...agent import events as e
from ...agent.session import Thread
from ...errors import AppError, NotFound, Unavailable
from ...ports import Watch
from ...service import Service
from . import AsJson, as_json, run
from .story import asked, events_of, plain

if TYPE_CHECKING:
    from ...bootstrap import App

ALLOW = "allow_in_production"
QUESTION = "may {} go to production?"
ASKER = "pipeline"
HOUR = 3600
LOOK_SECONDS = 5.0
REFUSED, UNDECIDED = 3, 4
Verdict = Literal["approved", "refused", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Decision:
    verdict: Verdict
    version: str
    session: str
    answer: str
    decided_by: tuple[str, ...]
    """Who has approved or denied, in order."""
    waits_for: tuple[str, ...]


def decide(  # noqa: PLR0913
    version: Annotated[str, typer.Argument(metavar="VERSION", help="As in 1.4.2.")],
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is decided.")] = False,
    timeout: Annotated[int, typer.Option(min=0, help="At most so many seconds.")] = HOUR,
    agent: Annotated[str | None, typer.Option(help="Who is asked.")] = None,
    key: Annotated[str, typer.Option(help="Of this question: asked again, it is the same.")] = "",
    json: AsJson = False,
) -> None:
    """Ask whether a version may go to production. Exit code 0: it may, 3: it may not, 4: nobody
    has decided so far. Without --wait it is only asked; with the same key one may look again.
    """
    seconds = timeout if wait else 0
    found = run(lambda app: _decide(app, version, agent=agent, key=key, seconds=seconds))
    typer.echo(as_json(found) if json else plain(found.answer) or found.verdict)
    codes = {"approved": 0, "refused": REFUSED, "undecided": UNDECIDED}
    raise typer.Exit(codes[found.verdict])


async def _decide(
    app: "App", version: str, *, agent: str | None, key: str, seconds: float
) -> Decision:
    service = app.service
    name = agent or _who_decides(service)
    session_id = str(uuid5(NAMESPACE_URL, f"{name}:{version}:{key}")) if key else ""
    session_id = await service.begin(
        QUESTION.format(version),
        by=ASKER,
        key=ALLOW,
        agent=name,
        metadata={"decides": version, "key": key},
        session_id=session_id,
    )
    typer.echo(f"asked in session {session_id}", err=True)
    thread = await settled(service, session_id, until=monotonic() + seconds)
    events = [stored.event async for stored in events_of(service, session_id)]
    return judge(thread, events, version=version)


def judge(thread: Thread, events: list[e.AnyEvent], *, version: str) -> Decision:
    """What came of it: allowed is what the call was for that came back, and nothing else."""
    state = thread.session
    if state.status == "failed":
        raise AppError(f"session {thread.id} failed, so nothing is decided: see `sessions replay`")
    allowed = {
        event.call.id
        for event in events
        if isinstance(event, e.ToolRequested) and event.call.tool == ALLOW
        if event.call.arguments.get("version") == version
    }
    is_allowed = any(isinstance(v, e.ToolReturned) and v.call_id in allowed for v in events)
    is_over = state.status in {"idle", "done", "cancelled"}
    pending = [] if is_over else state.pending
    answers = [event.text for event in events if isinstance(event, e.AgentAnswered)]
    deciders = (v.by for v in events if isinstance(v, e.ToolApproved | e.ToolDenied))
    return Decision(
        verdict="approved" if is_allowed else "refused" if is_over else "undecided",
        version=version,
        session=thread.id,
        answer="".join(answers[-1:]),
        decided_by=tuple(deciders),
        waits_for=tuple(asked(request) for request in pending),
    )


def _who_decides(service: Service) -> str:
    """The first agent that can."""
    for agent in service.agents.values():
        if any(tool.name == ALLOW for tool in agent.tools):
            return agent.name
    raise NotFound(f"no agent has the tool {ALLOW}, so none can decide: docs/delivery.md has one")


async def settled(service: Service, session_id: str, *, until: float) -> Thread:
    """The session once it is over or the time is; tells whom it waits for. Days are no problem,
    and neither is a database that is away meanwhile.
    """
    told: set[str] = set()
    async with service.live.watch(session_id) as watch:
        while True:
            try:
                thread = await service.thread(session_id)
            except Unavailable as error:
                if monotonic() >= until:
                    raise
                typer.echo(f"{error}; this goes on by itself", err=True)
                await asyncio.sleep(LOOK_SECONDS)
                continue
            _tell(thread, told)
            if thread.session.status not in {"ready", "waiting", "paused"} or monotonic() >= until:
                return thread
            await _more(watch, until)


def _tell(thread: Thread, told: set[str]) -> None:
    for request in thread.session.pending:
        if request.call.id not in told:
            told.add(request.call.id)
            command = f"{about().slug} approve {thread.id} {request.call.id}"
            typer.echo(f"waits for {asked(request)}: `{command}`, or --deny", err=True)


async def _more(watch: Watch, until: float) -> None:
    """Returns when the store is worth a look."""
    until = min(until, monotonic() + LOOK_SECONDS)
    while (left := until - monotonic()) > 0:
        news = await watch.next(left)
        if news is None or not news.text:
            return

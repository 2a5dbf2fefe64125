"""`sessions`: see what agents do, and have a hand in it."""

import json as json_
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...agent.events import Budget, version
from ...agent.history import Exchange, Stored
from ...agent.own import outline
from ...agent.session import EMPTY, Session, Status, fold
from ...errors import AppError
from ...ports import Summary
from ...service import Service
from ..terminal import BOLD, DIM, YELLOW, Passing, painted
from . import BY, AsJson, SessionId, as_json, opened, run, standing, tell
from .follow import followed
from .story import as_line, asked, events_of, line, plain, told

if TYPE_CHECKING:
    from ...bootstrap import App

TITLE_LENGTH = 50
HEADING = f"{'SESSION':36}  {'STATUS':9}  {'UPDATED':16}  {'TOKENS':>8}  {'COST':>9}  AGENT: TITLE"

sessions = typer.Typer(no_args_is_help=True)

Reason = Annotated[str, typer.Option(help="Kept with the session.")]


@sessions.command("list")
def list_(
    *,
    owner: Annotated[str | None, typer.Option(help="Only those of this owner's keys.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only those.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only those of this agent.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    json: AsJson = False,
) -> None:
    """List sessions, the newest first."""

    async def listed(app: "App") -> list[Summary]:
        asked_for: dict[str, Any] = {"owner": owner, "status": status, "agent": agent}
        return await app.service.sessions.list(**asked_for, before=None, limit=limit + 1)

    found = run(listed)
    shown = found[:limit]
    typer.echo(as_json(shown) if json else "\n".join([HEADING, *map(_row, shown)]))
    if len(found) > limit:
        typer.echo(f"there are more: --limit {limit} shows the newest {limit}", err=True)


@sessions.command()
def show(
    session: SessionId,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens, until it is over.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show a session: its state, what it waits for, what was said. To follow it as JSON is a line
    an event, from the first.
    """
    if follow and json:
        run(lambda app: followed(app, session, after=0, json=True))
        return

    async def seen(app: "App") -> dict[str, Any]:
        service = app.service
        summary, history = await service.summary(session), await service.history(session)
        state = (await service.thread(session)).session
        return {"summary": summary, "state": state, "history": history}

    with opened() as (runner, app):
        found = runner.run(seen(app))
        tell(found, "\n".join(_lines(**found)), json=json)
        if follow:
            runner.run(followed(app, session, after=found["state"].seq, json=False))


@sessions.command()
def pause(session: SessionId, *, reason: Reason = "", json: AsJson = False) -> None:
    """Let no worker go on with a session until it is resumed."""
    standing(run(lambda app: app.service.pause(session, by=BY, reason=reason)), json=json)


@sessions.command()
def resume(  # noqa: PLR0913
    session: SessionId,
    *,
    steps: Annotated[int, typer.Option(help="So many more for a message.")] = 0,
    tokens: Annotated[int, typer.Option(help="So many more.")] = 0,
    cost: Annotated[str, typer.Option(help="So many US dollars more, as in 0.50.")] = "0",
    seconds: Annotated[int, typer.Option(help="So many more.")] = 0,
    json: AsJson = False,
) -> None:
    """Let a paused session go on; raise its budget, where that is spent."""
    more = _budget(steps=steps, tokens=tokens, cost=cost, seconds=seconds)
    standing(run(lambda app: app.service.resume(session, by=BY, more=more)), json=json)


@sessions.command()
def cancel(session: SessionId, *, reason: Reason = "", json: AsJson = False) -> None:
    """End a session for good."""
    standing(run(lambda app: app.service.cancel(session, by=BY, reason=reason)), json=json)


@sessions.command()
def fork(
    session: SessionId,
    *,
    at: Annotated[
        int | None, typer.Option(min=1, help="The last event it shares; `replay` numbers them.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Begin another session that shares the events so far; prints its id."""
    tell({"session_id": run(lambda app: app.service.fork(session, at=at))}, json=json)


@sessions.command()
def replay(session: SessionId, *, json: AsJson = False) -> None:
    """Show a session event by event, and prove that they make what is stored of it."""
    row, events = run(lambda app: _at_one_moment(app.service, session))
    state = EMPTY
    for stored in events:
        state = fold(state, [stored.event])
        if state.seq != stored.seq:
            raise AppError(f"session {session} has lost its event {state.seq}")
        kind = painted(f"{stored.event.kind:18}", DIM, sys.stdout)
        words = f"{stored.seq:4} {kind} {state.status:9} {told(stored.event)}"
        typer.echo(as_line(stored) if json else words)
    kept = (row.status, row.tokens, row.cost)
    made = (state.status, state.usage.tokens, state.usage.cost)
    words = "{} with {} tokens and ${}"
    if kept != made:
        raise AppError(
            f"session {session} is stored as {words.format(*kept)}, its events make it "
            f"{words.format(*made)}: a fork of it is made of its events alone"
        )
    proven = f"{len(events)} events make it {words.format(*made)}: as it is stored"
    typer.echo(proven, err=json)


@sessions.command()
def export(session: SessionId) -> None:
    """Print all that is stored of a session, one JSON object a line: row, events, effects,
    recipients.
    """

    def put(**said: object) -> None:
        typer.echo(json_.dumps({"session": session} | said, ensure_ascii=False, default=str))

    async def told_all(app: "App") -> None:
        await app.service.summary(session)
        kept = await app.reports.kept(session)
        put(row=kept.pop("row")[0])
        async for stored in events_of(app.service, session):
            event = stored.event.model_dump(mode="json")
            put(seq=stored.seq, version=version(event["kind"]), key=stored.key, event=event)
            passing.show(f"exporting: {stored.seq} events")
        for name, rows in kept.items():
            for row in rows:
                put(**{name: row})

    with Passing(sys.stderr, also=sys.stdout) as passing:
        run(told_all)


@sessions.command()
def delete(session: SessionId, *, json: AsJson = False) -> None:
    """Delete a session with its events and effects; forks of it are sessions of their own."""

    async def deleted(app: "App") -> list[str]:
        forks = await app.reports.forks(session)
        await app.service.delete(session)
        return forks

    forks = run(deleted)
    tell({"session_id": session, "forks": forks}, f"session {session} is deleted", json=json)
    if forks and not json:
        typer.echo(f"what was said in it is also in its forks: {' '.join(forks)}", err=True)


async def _at_one_moment(service: Service, session_id: str) -> tuple[Summary, list[Stored]]:
    """The row and the events, read again where the session went on meanwhile."""
    while True:
        row = await service.summary(session_id)
        events = [stored async for stored in events_of(service, session_id)]
        if row == await service.summary(session_id):
            return row, events


def _budget(**amounts: object) -> Budget:
    from pydantic import ValidationError

    try:
        return Budget.model_validate(amounts)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise typer.BadParameter(f"--{wrong['loc'][0]} {wrong['input']}: {wrong['msg']}") from None


def _row(known: Summary) -> str:
    spent = f"{known.tokens:8}  {f'${known.cost:.4f}':>9}"
    title = line(known.title, length=TITLE_LENGTH)
    when = f"{known.updated_at:%Y-%m-%d %H:%M}"
    return f"{known.id}  {known.status:9}  {when}  {spent}  {known.agent}: {title}"


def _lines(summary: Summary, state: Session, history: list[Exchange]) -> list[str]:
    why = f": {plain(state.paused)}" if state.paused else ""
    spent = f"{state.usage.tokens} tokens, ${state.usage.cost:.4f}, {state.seconds:.1f} s"
    lines = [
        f"session  {summary.id}",
        f"status   {painted(state.status, BOLD, sys.stdout)}{why}",
        f"agent    {summary.agent}, prompt {summary.prompt}, lane {summary.lane}",
        f"time     from {summary.created_at:%Y-%m-%d %H:%M} to {summary.updated_at:%Y-%m-%d %H:%M}",
        f"spent    {spent}; {state.steps} steps for the last message",
        *(f"plan     {task}" for task in plain(outline(state.plan)).splitlines()),
        *(painted(f"waits    for {asked(r)}", YELLOW, sys.stdout) for r in state.pending),
    ]
    for exchange in history:
        said = painted(f"> {plain(exchange.message)}", BOLD, sys.stdout)
        lines += ["", said, plain(exchange.response or "")]
    return lines

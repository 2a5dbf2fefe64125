"""`sessions` and `approve`: see what agents do, and have a hand in it."""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from ...errors import AppError
from . import BY, AsJson, SessionId, as_json, run

if TYPE_CHECKING:
    from ...agent.events import Budget
    from ...agent.ports import Stored, Summary
    from ...agent.session import Status, Thread
    from ...bootstrap import App
    from ...service import Service

TITLE_LENGTH = 50
HEADINGS = ("SESSION", "STATUS", "AGENT", "UPDATED", "TOKENS", "COST", "TITLE")

sessions = typer.Typer(no_args_is_help=True)

Reason = Annotated[str, typer.Option(help="Kept with the session.")]


@sessions.command("list")
def list_(
    *,
    status: Annotated[str | None, typer.Option(help="Only those, as in waiting.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only those of this agent.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    json: AsJson = False,
) -> None:
    """List sessions, the newest first."""
    wanted = _status(status) if status else None

    async def listed(app: "App") -> list["Summary"]:
        return await app.service.sessions.list(
            status=wanted, agent=agent, before=None, limit=limit + 1
        )

    found = run(listed)
    typer.echo(as_json(found[:limit]) if json else _table([_row(s) for s in found[:limit]]))
    if len(found) > limit:
        typer.echo(f"there are more: --limit {limit} shows the newest {limit}", err=True)


@sessions.command()
def show(session: SessionId, *, json: AsJson = False) -> None:
    """Show a session: its state, what it waits for, what was said."""
    from .show import as_text, look

    seen = run(lambda app: look(app.service, session))
    typer.echo(as_json(seen) if json else as_text(seen))


@sessions.command()
def pause(session: SessionId, *, reason: Reason = "") -> None:
    """Let no worker go on with a session until it is resumed."""
    _done(run(lambda app: app.service.pause(session, by=BY, reason=reason)))


@sessions.command()
def resume(
    session: SessionId,
    *,
    steps: Annotated[int, typer.Option(help="So many more for a message.")] = 0,
    tokens: Annotated[int, typer.Option(help="So many more.")] = 0,
    cost: Annotated[str, typer.Option(help="So many US dollars more, as in 0.50.")] = "0",
    seconds: Annotated[int, typer.Option(help="So many more.")] = 0,
) -> None:
    """Let a paused session go on; raise its budget, where that is spent."""
    more = _budget(steps=steps, tokens=tokens, cost=cost, seconds=seconds)
    _done(run(lambda app: app.service.resume(session, by=BY, more=more)))


@sessions.command()
def cancel(session: SessionId, *, reason: Reason = "") -> None:
    """End a session for good."""
    _done(run(lambda app: app.service.cancel(session, by=BY, reason=reason)))


@sessions.command()
def fork(
    session: SessionId,
    *,
    at: Annotated[
        int | None, typer.Option(min=1, help="The last event it shares; `replay` numbers them.")
    ] = None,
) -> None:
    """Begin another session that shares the events so far; prints its id."""
    typer.echo(run(lambda app: app.service.fork(session, at=at)))


@sessions.command()
def replay(session: SessionId) -> None:
    """Show a session event by event, and prove that they make what is stored of it."""
    run(lambda app: _replay(app.service, session))


@sessions.command()
def export(session: SessionId) -> None:
    """Print all events of a session, one JSON object a line."""
    run(lambda app: _export(app.service, session))


def approve(
    session: SessionId,
    request: Annotated[str, typer.Argument(help="Its number, as in c3; `sessions show` has it.")],
    *,
    deny: Annotated[bool, typer.Option("--deny", help="Say no.")] = False,
    comment: Annotated[str, typer.Option(help="The agent reads it.")] = "",
    answer: Annotated[str | None, typer.Option(help="To a question.")] = None,
) -> None:
    """Take the decision that a session waits for."""
    if deny and answer is not None:
        raise typer.BadParameter("--deny and --answer are two decisions: take one")

    async def decided(app: "App") -> "Thread":
        return await app.service.decide(
            session, request, approved=not deny, by=BY, comment=comment, answer=answer
        )

    _done(run(decided))


async def _replay(service: "Service", session_id: str) -> None:
    from ...agent.session import EMPTY, fold
    from .story import told

    row, events = await _at_one_moment(service, session_id)
    session = EMPTY
    for stored in events:
        session = fold(session, [stored.event])
        if session.seq != stored.seq:
            raise AppError(f"session {session_id} has lost its event {session.seq}")
        kind = stored.event.kind
        typer.echo(f"{stored.seq:4} {kind:18} {session.status:9} {told(stored.event)}")
    kept = (row.status, row.tokens, row.cost)
    made = (session.status, session.usage.tokens, session.usage.cost)
    if kept != made:
        raise AppError(
            f"session {session_id} is stored as {_state(*kept)}, its events make it "
            f"{_state(*made)}: a fork of it is made of its events alone"
        )
    typer.echo(f"{len(events)} events make it {_state(*made)}: as it is stored")


async def _at_one_moment(service: "Service", session_id: str) -> tuple["Summary", list["Stored"]]:
    """The row and the events, read again where the session went on meanwhile."""
    from .story import events_of

    while True:
        row = await service.summary(session_id)
        events = [stored async for stored in events_of(service, session_id)]
        if row == await service.summary(session_id):
            return row, events


async def _export(service: "Service", session_id: str) -> None:
    import json

    from ...agent.events import version
    from .story import events_of

    await service.summary(session_id)
    async for stored in events_of(service, session_id):
        event = stored.event.model_dump(mode="json")
        row = {"session": session_id, "seq": stored.seq, "version": version(event["kind"])}
        typer.echo(json.dumps(row | {"key": stored.key, "event": event}, ensure_ascii=False))


def _budget(**amounts: object) -> "Budget":
    from pydantic import ValidationError

    from ...agent.events import Budget

    try:
        return Budget.model_validate(amounts)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise typer.BadParameter(f"--{wrong['loc'][0]} {wrong['input']}: {wrong['msg']}") from None


def _status(text: str) -> "Status":
    from ...agent.session import Status

    if text not in get_args(Status):
        raise typer.BadParameter(f"--status {text} is none of {', '.join(get_args(Status))}")
    return cast("Status", text)


def _row(summary: "Summary") -> tuple[str, ...]:
    from .story import line

    return (
        summary.id,
        summary.status,
        summary.agent,
        f"{summary.updated_at:%Y-%m-%d %H:%M}",
        str(summary.tokens),
        f"${summary.cost:.4f}",
        line(summary.title, length=TITLE_LENGTH),
    )


def _table(rows: list[tuple[str, ...]]) -> str:
    lines = [HEADINGS, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in lines
    )


def _state(status: str, tokens: int, cost: Decimal) -> str:
    return f"{status} with {tokens} tokens and ${cost}"


def _done(thread: "Thread") -> None:
    typer.echo(f"session {thread.id} is {thread.session.status}")

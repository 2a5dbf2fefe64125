"""`seed`, `cleanup` and `report`: what is done now and then, by hand or by a job."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...settings import Settings
from . import AsJson, as_json, run

if TYPE_CHECKING:
    from ...agent.ports import Activity, Reports

FAILURES = ("model_failed", "tool_refused", "tool_failed", "session_failed", "decision_timed_out")
DECISIONS = ("tool_approved", "tool_denied", "person_answered")
DAY = timedelta(days=1)


def seed() -> None:
    """Plant an example: lines in an empty ledger, one finished session. Twice does nothing more."""
    from .seeds import seed as plant

    for planted in run(plant) or ["everything is there already"]:
        typer.echo(planted)


def cleanup() -> None:
    """Forget, now, the sessions that nobody has touched for $RETENTION_DAYS."""
    forgotten = run(lambda app: app.service.cleanup())
    typer.echo(f"{forgotten} sessions forgotten, older than {Settings.load().retention_days} days")


def report(
    *,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="That one, in UTC.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Say what happened in the last 24 hours, or on a day."""
    since = day.replace(tzinfo=UTC) if day else datetime.now(UTC) - DAY
    told = run(lambda app: _report(app.reports, since))
    typer.echo(as_json(told) if json else "\n".join(f"{k:10} {v}" for k, v in _words(told)))


async def _report(reports: "Reports", since: datetime) -> dict[str, Any]:
    activity = await reports.activity(since, since + DAY)
    standing = await reports.standing(seconds=0)
    return {
        "since": since,
        "until": since + DAY,
        "sessions": activity.sessions,
        "messages": activity.events.get("user_spoke", 0),
        "answers": activity.events.get("agent_answered", 0),
        "tokens": activity.tokens,
        "cost": activity.cost,
        "failures": _of(FAILURES, activity),
        "decisions": _of(DECISIONS, activity),
        "waiting": standing.waiting,
    }


def _of(kinds: tuple[str, ...], activity: "Activity") -> dict[str, int]:
    return {kind: count for kind in kinds if (count := activity.events.get(kind))}


def _words(told: dict[str, Any]) -> list[tuple[str, str]]:
    agents = (f"{agent}: {_counts(by)}" for agent, by in told["sessions"].items())
    return [
        ("time", f"{told['since']:%Y-%m-%d %H:%M} to {told['until']:%Y-%m-%d %H:%M} UTC"),
        ("sessions", "; ".join(agents) or "none"),
        ("exchanges", f"{told['messages']} messages, {told['answers']} answers"),
        ("tokens", str(told["tokens"])),
        ("cost", f"${told['cost']:.4f}"),
        ("failures", _counts(told["failures"])),
        ("decisions", _counts(told["decisions"])),
        ("waiting", f"{told['waiting']} sessions wait for a decision now"),
    ]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items()) or "none"

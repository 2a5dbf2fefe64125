"""`seed`, `cleanup` and `report`: what is done now and then, by hand or by a job."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from ...settings import Settings
from . import AsJson, as_json, run, tell

DAY = timedelta(days=1)


def seed(*, json: AsJson = False) -> None:
    """Plant an example: a week of lines in an empty deployment ledger. Twice does nothing more."""
    lines = run(lambda app: app.reports.seed_ledger())
    words = f"{lines} lines planted" if lines else "the deployment ledger has lines already"
    tell({"planted": lines}, words, json=json)


def cleanup(*, json: AsJson = False) -> None:
    """Forget, now, the sessions that nobody has touched for $RETENTION_DAYS."""
    forgotten = run(lambda app: app.upkeep.cleanup())
    days = Settings.load().retention_days
    words = f"{forgotten} sessions forgotten, older than {days} days"
    tell({"forgotten": forgotten, "days": days}, words, json=json)


def report(
    *,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="That one, in UTC.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Say what happened in the last 24 hours, or on a day."""
    since = day.replace(tzinfo=UTC) if day else datetime.now(UTC) - DAY
    found = run(lambda app: app.reports.of_a_day(since))
    if json:
        typer.echo(as_json(found))
        return
    for name, value in found.items():
        typer.echo(f"{name:10} {_words(value)}")


def _words(value: object) -> str:
    match value:
        case datetime():
            return f"{value:%Y-%m-%d %H:%M} UTC"
        case Mapping():
            counts = (f"{name.replace('_', ' ')} {_words(count)}" for name, count in value.items())
            return ", ".join(counts) or "none"
    return str(value)

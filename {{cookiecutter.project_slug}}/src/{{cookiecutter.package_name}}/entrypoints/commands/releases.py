"""`release`: what was deployed where, by whom, and how it went. A pipeline writes it down."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import typer

from ...delivery import Delivery, figures
from ...ledger import Deployment, Release
from . import AsJson, as_json, run

HEADING = f"{'LINE':>6}  {'STARTED':16}  {'ENVIRONMENT':12}  {'VERSION':16}  {'STATUS':11}  BY"
WHEN = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z")

release = typer.Typer(no_args_is_help=True)

Where = Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="As in production.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="As in 1.4.2.")]


@release.command()
def record(  # noqa: PLR0913
    environment: Where,
    version: Version,
    *,
    by: Annotated[str, typer.Option(help="Who deploys: a person, or a pipeline's run.")],
    image: Annotated[str, typer.Option(help="Its digest.")] = "",
    commit: Annotated[str, typer.Option(help="What the image was built from.")] = "",
    config: Annotated[str, typer.Option(help="A hash of the configuration there.")] = "",
    committed_at: Annotated[
        datetime | None, typer.Option(formats=WHEN, help="As `git log -1 --format=%cI` has it.")
    ] = None,
    outcome: Annotated[
        Literal["started", "succeeded", "failed", "rolled-back"],
        typer.Option(help="rolled-back: what ran before runs again, in a line of its own."),
    ] = "started",
    key: Annotated[
        str, typer.Option(help="Of this deployment, the same for all its steps and repeats.")
    ] = "",
    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Rolled back to that, not the last good.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a deployment in the ledger, first that it began, then how it ended. A repeat changes
    nothing. Without a key, a release (image, configuration, commit) is deployed there once.
    """
    if outcome == "rolled-back":
        taken = run(lambda app: app.releases.take_back(environment, version, by=by, to=to))
        _show([line for line in taken if line], json=json)
        return
    needed = {"--image": image, "--commit": commit, "--config": config}
    if missing := [name for name, value in needed.items() if not value]:
        raise typer.BadParameter(f"a release is known by them: {', '.join(missing)} is missing")
    made = Release(
        version=version, environment=environment, image=image, config=config, commit=commit
    )
    given: dict[str, Any] = {"by": by, "key": key, "committed_at": committed_at}
    _show([run(lambda app: app.releases.note(made, outcome=outcome, **given))], json=json)


@release.command("list")
def list_(
    *,
    environment: Annotated[str | None, typer.Option(help="Only there.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    json: AsJson = False,
) -> None:
    """List the lines of the ledger, the newest first."""
    _show(run(lambda app: app.releases.recent(environment, limit=limit)), json=json)


@release.command()
def current(environment: Where, *, json: AsJson = False) -> None:
    """Say what runs there: the newest release that succeeded and was not taken back."""
    line = run(lambda app: app.releases.current(environment))
    if json:
        typer.echo(as_json(line))
        return
    for name, value in asdict(line).items():
        if value not in {None, ""}:
            typer.echo(f"{name:13} {value}")


@release.command()
def metrics(
    *,
    days: Annotated[int, typer.Option(min=1, max=3660, help="The last so many.")] = 30,
    environment: Annotated[str, typer.Option(help="Of that one.")] = "production",
    json: AsJson = False,
) -> None:
    """Tell the four figures of delivery: how often, how quick, how many fail, how soon mended."""
    lines = run(lambda app: app.releases.since(environment, timedelta(days=days)))
    found = figures(lines, days=days)
    if json:
        typer.echo(as_json({"environment": environment, "days": days, **asdict(found)}))
        return
    typer.echo("\n".join(_words(found, days)))


def _words(found: Delivery, days: int) -> list[str]:
    lead, restore = map(_span, (found.lead_time_seconds, found.restore_seconds))
    rate = found.change_failure_rate
    share = "unknown" if rate is None else f"{rate:.1%}"
    open_ = f", {found.unrestored} not yet" if found.unrestored else ""
    often = f"{found.deployments} in {days} days, {found.deployments_a_day:g} a day"
    return [
        f"deployment frequency  {often}",
        f"lead time             {lead}, the median of {found.lead_times}",
        f"change failure rate   {share}, {found.failures} of {found.changes}",
        f"time to restore       {restore}, the median of {found.restores}{open_}",
    ]


def _span(seconds: float | None) -> str:
    return "unknown" if seconds is None else str(timedelta(seconds=round(seconds)))


def _show(lines: list[Deployment], *, json: bool) -> None:
    typer.echo(as_json(lines) if json else "\n".join([HEADING, *map(_row, lines)]))


def _row(line: Deployment) -> str:
    place = f"{line.environment:12}  {line.version:16}  {line.status:11}"
    back = f", instead of line {line.rollback_of}" if line.rollback_of else ""
    return f"{line.id:6}  {line.started_at:%Y-%m-%d %H:%M}  {place}  {line.deployed_by}{back}"

"""`doctor`: everything that can be wrong, at a glance, with what to do about it."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from ...about import about
from ...errors import ConfigError, Unavailable
from ...settings import Settings
from . import run

if TYPE_CHECKING:
    from ...agent.session import Status
    from ...bootstrap import App

STUCK_SECONDS = 60


@dataclass(frozen=True)
class Finding:
    part: str
    words: str = "ok"
    is_wrong: bool = False


def doctor() -> None:
    """Look at every part, and say what is wrong and what to do. Exit code 1 where anything is."""
    settings = Settings.load()
    findings = [Finding("configuration"), *examine_models(settings), *_service()]
    for finding in findings:
        mark = "!!" if finding.is_wrong else "ok"
        typer.echo(f"{mark} {finding.part:14} {finding.words}")
    raise typer.Exit(1 if any(finding.is_wrong for finding in findings) else 0)


def examine_models(settings: Settings) -> list[Finding]:
    """Made as a worker makes them, and asked nothing."""
    from ...adapters.runtime import make_model

    try:
        model = make_model(settings)
    except ConfigError as error:
        return [Finding("model", fault, is_wrong=True) for fault in error.faults]
    except Unavailable:  # its database, of which there is more to say
        return []
    asyncio.run(model.close())
    return [Finding("model", settings.model)]


def _service() -> list[Finding]:
    async def seen(app: "App") -> list[Finding]:
        backing = await app.service.faults()
        found = [Finding(name, fault or "ok", bool(fault)) for name, fault in backing.items()]
        if backing["database"] or backing["schema"]:
            return found
        return [*found, *await _processes(app), *await _sessions(app)]

    try:
        return run(seen)
    except Unavailable as error:  # not even an address
        return [Finding("database", str(error), is_wrong=True)]


async def _processes(app: "App") -> list[Finding]:
    up = f"start everything with `{about().slug} up`, or"
    workers = ", ".join(await app.service.workers())
    leads = await app.reports.scheduler_leads()
    idle = f"none is alive, so nobody is answered: {up} one with `{about().slug} work`"
    alone = f"none leads, so nothing is recovered: {up} one with `{about().slug} schedule`"
    return [
        Finding("worker", workers or idle, is_wrong=not workers),
        Finding("scheduler", "one leads" if leads else alone, is_wrong=not leads),
    ]


async def _sessions(app: "App") -> list[Finding]:
    standing = await app.reports.standing(seconds=STUCK_SECONDS)
    stuck, overdue = standing.stuck, standing.overdue
    over = f"for over {STUCK_SECONDS} s"
    return [
        _count(
            "stuck", stuck, f"ready {over}, and no worker has them", "ready", is_wrong=stuck > 0
        ),
        _count("overdue", overdue, f"past their time {over}", "waiting", is_wrong=overdue > 0),
        _count("paused", standing.paused, "until a person resumes them", "paused"),
        _count("waiting", standing.waiting, "for a person to decide", "waiting"),
    ]


def _count(
    part: str, count: int, words: str, status: "Status", *, is_wrong: bool = False
) -> Finding:
    see = f"{count} sessions {words}: `{about().slug} sessions list --status {status}` has them"
    return Finding(part, see if count else "none", is_wrong)

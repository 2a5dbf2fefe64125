"""`check` and `doctor`: everything that can be wrong, with what to do about it."""

import asyncio
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ...about import about
from ...errors import ConfigError, Unavailable
from ...settings import Settings
from ..terminal import RED, painted
from . import AsJson, run, tell

if TYPE_CHECKING:
    from ...bootstrap import App

POLL_SECONDS = 0.05
STUCK_SECONDS = 60


@dataclass(frozen=True)
class Finding:
    part: str
    words: str = "ok"
    is_wrong: bool = False


def check(
    *,
    timeout: Annotated[int, typer.Option(min=0, help="Seconds to wait for a worker.")] = 10,
    json: AsJson = False,
) -> None:
    """Ask every part for a sign of life: database, schema, broker, workers."""
    run(lambda app: _check(app, timeout, json=json))


def doctor(*, json: AsJson = False) -> None:
    """Look at every part, and say what is wrong and what to do. Exit code 1 where anything is."""
    findings = [Finding("configuration"), *examine_models(Settings.load())]
    try:
        findings += run(_examine)
    except Unavailable as error:  # not even an address
        findings.append(Finding("database", str(error), is_wrong=True))
    words = "\n".join(map(_line, findings))
    tell({"findings": [asdict(finding) for finding in findings]}, words, json=json)
    raise typer.Exit(1 if any(finding.is_wrong for finding in findings) else 0)


def _line(finding: Finding) -> str:
    mark = painted("!!", RED, sys.stdout) if finding.is_wrong else "ok"
    return f"{mark} {finding.part:14} {finding.words}"


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
    return [Finding("model", ", ".join(known.name for known in model.models))]


async def _check(app: "App", seconds: int, *, json: bool) -> None:
    faults = await app.upkeep.faults()
    words = "\n".join(f"{name:9} {fault or 'ok'}" for name, fault in faults.items())
    if any(faults.values()) or not json:
        tell(faults, words, json=json)
    if any(faults.values()):
        raise Unavailable("no worker was looked for: the services above come first")
    until = time.monotonic() + seconds
    while not (workers := await app.upkeep.workers()):
        if time.monotonic() > until:
            raise Unavailable(f"no worker showed a sign of life within {seconds} s")
        await asyncio.sleep(POLL_SECONDS)
    tell(faults | {"workers": workers}, f"worker    ok, {', '.join(workers)}", json=json)


async def _examine(app: "App") -> list[Finding]:
    faults = await app.upkeep.faults()
    found = [Finding(name, fault or "ok", bool(fault)) for name, fault in faults.items()]
    if faults["database"] or faults["schema"]:
        return found
    workers = ", ".join(await app.upkeep.workers())
    leads = await app.reports.scheduler_leads()
    standing = await app.reports.standing(seconds=STUCK_SECONDS)
    return [
        *found,
        _alive("worker", workers, "work", "nobody is answered"),
        _alive("scheduler", "one leads" if leads else "", "schedule", "nothing is recovered"),
        _letters(await app.reports.dead_letters()),
        *(_sessions(part, count) for part, count in standing.items()),
    ]


def _alive(part: str, words: str, command: str, so: str) -> Finding:
    up = f"start everything with `{about().slug} up`, or one with `{about().slug} {command}`"
    return Finding(part, words or f"none, so {so}: {up}", is_wrong=not words)


def _letters(count: int) -> Finding:
    see = f"{count} notices reached nobody: `{about().slug} letters list` has them"
    return Finding("letters", see if count else "none", bool(count))


def _sessions(part: str, count: int) -> Finding:
    status = {"stuck": "ready", "overdue": "waiting"}.get(part, part)
    over = "" if part == status else f", for over {STUCK_SECONDS} s"
    see = f"{count} sessions{over}: `{about().slug} sessions list --status {status}` has them"
    return Finding(part, see if count else "none", bool(count and over))

"""schemathesis over the whole API, from its own description, until enough cases were sent."""

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..environments import executable
from ..keys import AUTH
from .headers import Outcome
from .known import Known

ENVIRONMENT = "tools"
EXAMPLES = 300  # of a route, in a round
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
OPTIONS: tuple[str, ...] = ("--workers", "1", "--continue-on-failure", "--no-shrink", "--no-color")
OPTIONS += ("--warnings", "off", "--suppress-health-check", "all", "--generation-database", "none")
HONEST = "GET /ready"
"""Its 503 says that something is away, which on a machine that is busy enough is true."""
BROKEN = re.compile(
    r'^http_requests_total\{(?!.*route="/ready",status="503").*status="5\d\d".*\} (\S+)$',
    re.MULTILINE,
)


def fuzz(url: str, *, cases: int, seconds: float, seed: int) -> Outcome:
    """What came of so many cases, or of those that the time allowed; rounds differ by seed."""
    outcome, ends = Outcome(), time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        while outcome.cases < cases and (left := ends - time.monotonic()) > 1:
            report = Path(folder, "report.ndjson")
            Path(folder, "schemathesis.toml").write_text(Known.of(url).settings())
            said = _run(url, report, seconds=left, seed=seed)
            before = outcome.cases
            lines = report.read_text().splitlines(keepends=True) if report.exists() else []
            read([line for line in lines if line.endswith("\n")], into=outcome)
            if outcome.cases == before:
                outcome.faults[f"it sent nothing: {said[-500:]}"] += 1
                break
            seed += 1
    return outcome


def broken(metrics: str) -> float:
    """The answers of 5xx, as the service itself counted them."""
    return sum(map(float, BROKEN.findall(metrics)))


def read(lines: list[str], *, into: Outcome) -> None:
    """What a report in NDJSON tells: a line an event, of which the ends of scenarios count."""
    for line in lines:
        event = json.loads(line)
        if scenario := event.get("ScenarioFinished"):
            recorder = scenario["recorder"]
            for id_, interaction in recorder.get("interactions", {}).items():
                case = recorder["cases"][id_]["value"]
                status = interaction.get("response", {}).get("status_code", 0)
                into.add(f"{case['method'].upper()} {case['path']}", status)
            for fault in _failed(recorder):
                into.faults[fault] += 1
        if error := event.get("NonFatalError"):
            into.faults[f"{error.get('label')}: {error.get('value')}"[:500]] += 1


def _failed(recorder: dict[str, Any]) -> Iterator[str]:
    for checks in recorder.get("checks", {}).values():
        for check in checks:
            if check["status"] == "failure":
                failure = check["failure_info"]["failure"]
                if (failure["operation"], check["name"]) == (HONEST, "not_a_server_error"):
                    continue  # one that is not a 503 is in the service's own count
                what = " ".join(failure["message"].split())[:400]
                yield f"{failure['operation']}: {failure['title']}: {what}"


def _run(url: str, report: Path, *, seconds: float, seed: int) -> str:
    """What it said, which is all there is where it sent nothing; cut off when its time is up."""
    report.unlink(missing_ok=True)
    command: list[str | Path] = [
        executable(ENVIRONMENT, "st"),
        "run",
        f"{url}/openapi.json",
        *OPTIONS,
    ]
    command += ["--checks", ",".join(CHECKS), "--seed", str(seed), "--max-examples", str(EXAMPLES)]
    command += ["--report", "ndjson", "--report-ndjson-path", report]
    for name, value in AUTH.items():
        command += ["--header", f"{name}: {value}"]
    own = {"PATH": os.environ["PATH"], "HOME": str(report.parent)}
    with report.with_suffix(".txt").open("w+") as said:
        given = {"cwd": report.parent, "env": own, "stdout": said, "stderr": said}
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, check=False, timeout=seconds, **given)  # type: ignore[call-overload]
        said.seek(0)
        return said.read()

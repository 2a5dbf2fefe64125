"""Secrets in the files here and in every commit: gitleaks, by the rules of `.gitleaks.toml`."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from . import MissingTool

OPTIONS = ("--no-banner", "--no-color", "--redact", "--log-level", "error", "--exit-code", "0")
REPORT = ("--report-format", "json", "--report-path", "-")


def faults(project: Path) -> Iterator[str]:
    """A line for each secret, without the secret."""
    if not (binary := shutil.which("gitleaks")):
        raise MissingTool("gitleaks is not on the PATH: apt, brew or its releases have it")
    kinds = ["dir", "git"] if (project / ".git").exists() else ["dir"]
    for kind in kinds:
        command = [binary, kind, ".", "--config", ".gitleaks.toml", *OPTIONS, *REPORT]
        run = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        if run.returncode:
            yield f"gitleaks {kind} failed: {run.stderr.strip()[-300:]}"
            continue
        for found in json.loads(run.stdout or "[]"):
            where = f"{found['File']}:{found['StartLine']} {found.get('Commit', '')[:12]}"
            yield f"{where.strip()}: {found['RuleID']}: {found['Description']}"

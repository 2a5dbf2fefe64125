"""Advisories: pip-audit asks for each pin whether a weakness of it is known. It needs a network."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ..environments import executable, missing
from . import MissingTool

ENVIRONMENT = "tools"


def faults(project: Path) -> Iterator[str]:
    """Strict: what can't be looked up is a fault, for a false pass is worse than none."""
    if os.environ.get("CI") != "true":
        raise MissingTool("it asks a service on the internet: pipelines do, with CI=true")
    if why := missing(ENVIRONMENT):
        raise MissingTool(f"no pip-audit here: {why}")
    binary = str(executable(ENVIRONMENT, "pip-audit"))
    audit = [binary, "--strict", "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    for lock in ("requirements.txt", "requirements-dev.txt"):
        command = [*audit, "--requirement", str(project / lock)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            yield from (run.stdout + run.stderr).strip().splitlines()

"""The code: ruff by the rules of pyproject.toml, of which S are bandit's.

And PL knows what no eye sees: a hidden character, a writing direction that turns around."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def faults(project: Path) -> Iterator[str]:
    ruff = str(Path(sys.executable).with_name("ruff"))
    command = [ruff, "check", "--quiet", "--output-format", "concise"]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    yield from (run.stdout + run.stderr).splitlines()

"""The core reaches nothing (A12): what it makes of events depends on the events alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..unit.core import show
from ..unit.test_events import GOLDEN

PROJECT = Path(__file__).parents[2]
PROGRAM = f"""
import sys
from {show.__module__} import show

lines = sys.stdin.read().splitlines()
show(lines)  # what is imported late has been by now
REACHES = ("open", "os.", "pathlib.", "socket.", "sqlite3.", "subprocess.", "tempfile.", "urllib.")

def refuse(event, reached):
    if event.startswith(REACHES):
        raise AssertionError(event, *reached)

sys.addaudithook(refuse)
told = show(lines)
try:
    open("/dev/null")
except AssertionError:
    print(told)
"""


@pytest.mark.factor("A12")
def test_no_file_socket_or_process_is_reached_for_by_fold_and_request() -> None:
    lines = GOLDEN.read_text(encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if "COVERAGE" not in key}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=lines,
        env=environment | {"PYTHONIOENCODING": "utf-8"},
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert run.stdout == f"{show(lines.splitlines())}\n", run.stderr

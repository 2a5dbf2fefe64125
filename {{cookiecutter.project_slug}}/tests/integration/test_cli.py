"""Commands that reach the backing services."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from ..processes import PACKAGE, Process

Start = Callable[..., Process]


def run(start: Start, *command: str, **environment: str) -> tuple[int, str]:
    process = start(*command, **environment)
    return process.ended(), process.output


def test_check_asks_every_part(start: Start) -> None:
    start("work").healthy()
    code, output = run(start, "check")
    assert code == 0, output
    assert [line.split()[:2] for line in output.splitlines()] == [
        ["database", "ok"],
        ["schema", "ok"],
        ["broker", "ok"],
        ["worker", "ok,"],
    ]


def test_check_without_a_worker_fails_in_time(start: Start) -> None:
    code, output = run(start, "check", "--timeout", "0")
    assert code == 69
    assert "error: no worker showed a sign of life" in output


def test_check_says_which_service_is_away(start: Start) -> None:
    code, output = run(start, "check", BROKER_URL="redis://127.0.0.1:1/0")
    assert code == 69
    assert "database  ok" in output
    assert "broker    the broker does not answer" in output
    code, output = run(start, "check", DATABASE_URL="postgresql://app@127.0.0.1:1/app")
    assert code == 69
    assert output.count("Connection refused") == 3, output


@pytest.mark.factor("XII")
def test_the_shell_has_the_service_at_hand(database_url: str) -> None:
    shell = subprocess.run(
        [sys.executable, "-m", PACKAGE, "shell"],
        input="print(sorted(run(service.faults())))\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={"DATABASE_URL": database_url, "SECRET_KEY": "x" * 32},
    )
    assert "['broker', 'database', 'schema']" in shell.stdout

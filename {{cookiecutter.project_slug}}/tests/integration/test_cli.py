"""The command line, as people and pipelines use it."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from {{ cookiecutter.package_name }}.about import about

from ..processes import PACKAGE, Process

Start = Callable[..., Process]
COMMANDS = ("serve", "work", "schedule", "up", "migrate", "check", "config", "version", "shell")


def run(start: Start, *command: str, **environment: str) -> tuple[int, str]:
    process = start(*command, **environment)
    return process.ended(), process.output


def test_version_is_the_packages(start: Start) -> None:
    assert run(start, "version") == (0, f"{about().version}\n")


def test_help_names_every_command_and_the_exit_codes(start: Start) -> None:
    code, output = run(start, "--help")
    assert code == 0
    for word in COMMANDS:
        assert f" {word} " in output
    assert "Exit codes" in output


def test_wrong_usage_is_exit_code_2(start: Start) -> None:
    code, output = run(start, "serve", "--nonsense")
    assert code == 2
    assert "--nonsense" in output


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
    code, output = run(start, "check", "--timeout", "0.3")
    assert code == 69
    assert "error: no worker answered" in output


def test_check_says_which_service_is_away(start: Start) -> None:
    code, output = run(start, "check", BROKER_URL="redis://127.0.0.1:1/0")
    assert code == 69
    assert "database  ok" in output
    assert "broker    the broker does not answer" in output


def test_config_is_shown_without_secrets(start: Start) -> None:
    code, output = run(start, "config", "show", "--json")
    assert code == 0
    values = json.loads(output)
    assert (values["SECRET_KEY"], values["LOG_LEVEL"]) == ("***", "INFO")
    code, output = run(start, "config", "show")
    assert "SECRET_KEY=***\n" in output
    assert run(start, "config", "check") == (0, "the configuration is complete\n")


def test_the_example_can_be_a_page_or_carry_a_secret(start: Start) -> None:
    assert "| `PORT` |" in run(start, "config", "example", "--markdown")[1]
    plain = run(start, "config", "example")[1]
    assert "\nSECRET_KEY=\n" in plain
    assert "\nSECRET_KEY=\n" not in run(start, "config", "example", "--secrets")[1]


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

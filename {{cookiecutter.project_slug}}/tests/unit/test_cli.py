"""The command line, as people and pipelines use it."""

import json

import pytest
from typer.testing import CliRunner, Result

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.entrypoints.cli import cli, main
from {{ cookiecutter.package_name }}.errors import ConfigError

from ..conftest import SECRET

COMMANDS = ("serve", "work", "schedule", "up", "migrate", "check", "config", "version", "shell")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:hunter2@db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)


def run(*command: str) -> Result:
    return CliRunner().invoke(cli, command)


def test_version_is_the_packages() -> None:
    assert run("version").output == f"{about().version}\n"


def test_help_names_every_command_and_the_exit_codes() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in result.output
        assert run(command, "--help").exit_code == 0
    assert "Exit codes" in result.output


def test_wrong_usage_is_exit_code_2() -> None:
    result = run("serve", "--nonsense")
    assert result.exit_code == 2
    assert "--nonsense" in result.output


@pytest.mark.parametrize("command", [["new"], ["up", "add x"], ["status", "--dry-run"], ["down"]])
def test_a_migration_that_is_not_meant_is_refused(command: list[str]) -> None:
    result = run("migrate", *command)
    assert result.exit_code == 2
    assert "`new`" in result.output or "'down'" in result.output


def test_config_is_shown_without_secrets() -> None:
    values = json.loads(run("config", "show", "--json").output)
    assert (values["SECRET_KEY"], values["LOG_LEVEL"]) == ("***", "INFO")
    output = run("config", "show").output
    assert "SECRET_KEY=***\n" in output
    assert "DATABASE_URL=postgresql://app:***@db/app\n" in output
    assert run("config", "check").output == "the configuration is complete\n"


def test_the_example_can_be_a_page_or_carry_a_secret() -> None:
    assert "| `PORT` |" in run("config", "example", "--markdown").output
    assert "\nSECRET_KEY=\n" in run("config", "example").output
    assert "\nSECRET_KEY=\n" not in run("config", "example", "--secrets").output


@pytest.mark.factor("III")
def test_a_wrong_environment_is_one_line_a_fault_and_exit_code_78(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("SECRET_KEY", "short")
    assert isinstance(run("config", "check").exception, ConfigError)
    monkeypatch.setattr("sys.argv", ["service", "config", "check"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ConfigError.exit_code == 78
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("=")[0].split(" is")[0] for line in lines] == [
        "error: PORT",
        "error: SECRET_KEY",
    ]

"""What people see at a terminal, and programs and files don't."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.entrypoints import child
from {{ cookiecutter.package_name }}.entrypoints.cli import cli, main
from {{ cookiecutter.package_name }}.entrypoints.terminal import DIM, ERASE, RED, Passing, painted

from ..conftest import SECRET
from ..terminal import COLOUR, Screen, Terminal

SLUG = about().slug
NO_DATA = {
    "serve": "runs until it is stopped",
    "work": "runs until it is stopped",
    "schedule": "runs until it is stopped",
    "up": "runs until it is stopped",
    "shell": "is a prompt",
    "completion": "is a program for a shell",
    "config example": "is a file to be kept",
    "sessions export": "is JSON in any case",
}


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Screen()
    yield screen
    screen.stream.close()


def commands(group: object, path: str = "") -> Iterator[tuple[str, set[str]]]:
    """Every command with the options that it knows."""
    for name, known in getattr(group, "commands", {}).items():
        if hasattr(known, "commands"):
            yield from commands(known, f"{path}{name} ")
        else:
            yield f"{path}{name}", {option for given in known.params for option in given.opts}


def test_every_command_that_prints_data_prints_it_as_json_too() -> None:
    known = dict(commands(get_command(cli)))
    assert len(known) > 35
    assert {name for name, options in known.items() if "--json" not in options} == set(NO_DATA)


@pytest.mark.parametrize(
    ("environment", "is_painted"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_there_is_colour_on_a_terminal_where_nobody_refused_it(
    screen: Screen,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    *,
    is_painted: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", screen.stream)
    child.say("web", "a line")
    monkeypatch.undo()
    label = "\x1b[32mweb       |\x1b[0m" if is_painted else "web       |"
    assert screen.shown() == f"{label} a line\n"


def test_there_is_none_in_a_file(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert painted("text", RED, file) == "text"
        with Passing(file) as passing:
            passing.show("working")
    assert (tmp_path / "file").read_text() == ""


def test_what_takes_long_is_a_line_that_goes_away_again(screen: Screen) -> None:
    with Passing(screen.stream) as passing:
        passing.show("1 of 2")
        passing.show("so soon after it that nobody could read it")
        passing.clear()
        passing.show("x" * 200)
        line = painted("x" * 79, DIM, screen.stream)
    assert screen.shown() == f"{ERASE}\x1b[2m1 of 2\x1b[0m{ERASE}{ERASE}{line}{ERASE}"


def test_it_never_mixes_with_data_on_the_same_terminal(screen: Screen) -> None:
    other = Screen()
    with Passing(other.stream, also=screen.stream) as passing:
        passing.show("working")
    other.stream.write("all")
    assert other.shown() == "all"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sessions show nonsense", "'nonsense' is no session's id: `sessions list` has them"),
        ("serve --nonsense", "No such option: --nonsense (`SLUG serve --help`)"),
        ("nonsense", "No such command 'nonsense'"),
        ("sessions show", "Missing argument 'SESSION'. (`SLUG sessions show --help`)"),
        ("approve --deny", "name the session and the request that it is about"),
    ],
)
def test_what_is_used_wrongly_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, said: str
) -> None:
    monkeypatch.setattr("sys.argv", ["service", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ")
    assert said.replace("SLUG", SLUG) in err


def test_an_error_is_red_where_that_can_be_seen(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["service", "nonsense"])
    monkeypatch.setattr(sys, "stderr", screen.stream)
    with pytest.raises(SystemExit):
        main()
    monkeypatch.undo()
    assert screen.shown().startswith("\x1b[31merror:\x1b[0m No such command")


@pytest.mark.parametrize(
    ("shell", "part"), [("bash", "complete -o default"), ("zsh", "compdef"), ("fish", "complete ")]
)
def test_each_shell_is_given_what_completes_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str, part: str
) -> None:
    monkeypatch.setattr("sys.argv", ["service", "completion", shell])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    script = capsys.readouterr().out
    assert part in script
    assert SLUG in script


def test_a_real_bash_completes_commands_options_and_what_they_take(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash
    home = {"HOME": str(tmp_path), "PS1": "$ ", "INPUTRC": "/dev/null"}
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    terminal = Terminal(
        bash, "--norc", "--noprofile", "-i", directory=tmp_path, **home | {"PATH": path}
    )
    try:
        terminal.type(f'eval "$({SLUG} completion bash)"; echo is re""ady\n').shows("is ready")
        terminal.type(f"{SLUG} sess\t").shows(f"{SLUG} sessions ")
        terminal.type("list --status wai\t").shows("--status waiting ")
    finally:
        terminal.end()


def test_config_and_version_are_told_to_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    for command in ("version", "config check", "config show"):
        monkeypatch.setattr("sys.argv", ["service", *command.split(), "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        assert json.loads(capsys.readouterr().out)


def test_help_has_no_colour_where_nobody_looks_or_wants_it(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["service", "--help"])
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setattr("typer.rich_utils.FORCE_TERMINAL", True)  # as it is made of that
    with pytest.raises(SystemExit):
        main()
    assert not COLOUR.search(capsys.readouterr().out)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", screen.stream)
    with pytest.raises(SystemExit):
        main()
    monkeypatch.undo()
    styled = set(COLOUR.findall(screen.shown()))
    assert not {code for code in styled if any(f"{n}" in code for n in range(30, 48))}

"""`up`: the whole service under its supervisor, from an empty directory."""

import json
import os
import shutil
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.adapters.embedded import NOBODY

from ..conftest import SECRET
from ..processes import Process, eventually

Up = Callable[..., Process]
NAMES = ["up", "postgres", "web", "worker", "scheduler"]


@pytest.fixture
def up(passable: Path) -> Iterator[Up]:
    """Starts `up` in a directory of the test, on its own embedded database."""
    with ExitStack() as ending:

        def start(*command: str, directory: str = "project", **environment: str) -> Process:
            home = passable / directory
            home.mkdir(exist_ok=True)
            environment = {"DATABASE_URL": "embedded:", "SECRET_KEY": SECRET, **environment}
            process = Process(*(command or ["up"]), environment=environment, directory=home)
            ending.callback(process.end)
            return process

        yield start


def is_up(process: Process) -> Process:
    eventually(
        lambda: "Ctrl-C stops it" in process.output, f"it is up:\n{process.output}", seconds=40
    )
    return process


def state(tmp_path: Path, directory: str = "project") -> dict[str, Any]:
    known: dict[str, Any] = json.loads((tmp_path / directory / ".local" / "up.json").read_text())
    return known


def pids(tmp_path: Path) -> dict[str, int]:
    return {name: known["pid"] for name, known in state(tmp_path).items()}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Ended, but nobody has asked for its exit code: the first process of a container may not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return False


@pytest.mark.factor("VI")
def test_nothing_outlives_a_killed_supervisor_and_what_dies_is_started_again(
    up: Up, tmp_path: Path
) -> None:
    killed = is_up(up())
    running = pids(tmp_path)
    killed.signal(signal.SIGKILL)
    eventually(lambda: not any(map(alive, running.values())), "no orphan is left", seconds=5)

    process = is_up(up())
    first = pids(tmp_path)
    for name in NAMES[1:]:
        os.kill(first[name], signal.SIGKILL)
        restarted = f"{name} ended with -9; starting it again"
        eventually(lambda said=restarted: said in process.output, f"{name} is started again")  # type: ignore[misc]
    eventually(lambda: up("check").ended() == 0, "the service is whole again")
    now = pids(tmp_path)
    assert [name for name in NAMES if now[name] == first[name]] == ["up"]
    assert process.output.count("starting it again") == len(NAMES[1:])


def test_two_run_side_by_side_say_where_they_are_work_and_stop_the_database_last(
    up: Up, tmp_path: Path
) -> None:
    both = {directory: up(directory=directory) for directory in ("one", "two")}
    for directory, process in both.items():
        known = state(tmp_path, directory) if is_up(process) else {}
        assert list(known) == NAMES
        for name in NAMES[1:]:
            assert f"{name:9} ready, pid {known[name]['pid']}" in process.output
        assert f"http://127.0.0.1:{process.port}\n" in process.output
        other_terminal = up("check", directory=directory)
        assert other_terminal.ended() == 0, other_terminal.output
        assert f":{known['worker']['pid']}\n" in other_terminal.output
    third = up(directory="one")
    assert third.ended() == 1
    process = both["one"]
    assert third.output == f"error: `up` runs in this directory already, as process {process.pid}\n"

    local = tmp_path / "one" / ".local"
    for private in (local, local / "postgres"):
        assert not private.stat().st_mode & (
            stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
        )
    assert stat.S_IMODE((local / "postgres" / "connection.json").stat().st_mode) == 0o600
    running = [known["pid"] for known in state(tmp_path, "one").values()]
    process.signal(signal.SIGINT)
    assert process.ended() == 0
    stopped = [line.split()[2] for line in process.lines if "stopped with 0" in line]
    assert set(stopped) == set(NAMES[1:])
    assert stopped[-1] == "postgres"
    assert not any(map(alive, running))


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL minds only root")
def test_root_without_namespaces_is_one_line_where_nobody_can_not_reach(
    up: Up, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    process = up(PATH=only(tmp_path, "setpriv", "test"))
    assert process.ended() == 1
    assert process.output.startswith("error: PostgreSQL does not run as user 0: `unshare --user`")
    assert process.output.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL minds only root")
def test_root_without_namespaces_runs_it_as_nobody_where_that_is_possible(
    up: Up, tmp_path: Path
) -> None:
    process = up(PATH=only(tmp_path, "setpriv", "test"))
    if "can't reach" in eventually(lambda: process.output, "it says something"):
        pytest.skip("the user nobody can't reach this Python's packages")
    is_up(process)
    owner = Path(f"/proc/{pids(tmp_path)['postgres']}").stat().st_uid
    assert owner == NOBODY
    assert up("check").ended() == 0
    killed, running = process, pids(tmp_path)
    killed.signal(signal.SIGKILL)
    eventually(lambda: not any(map(alive, running.values())), "no orphan is left", seconds=5)


def only(tmp_path: Path, *tools: str) -> str:
    """A PATH with nothing else on it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in tools:
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    return str(folder)


def test_a_taken_port_is_one_line_and_starts_nothing(up: Up, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = up(PORT=str(port))
        assert process.ended() == 1
    assert process.output.startswith(f"error: PORT={port} can't be used")
    assert process.output.count("\n") == 1
    assert not (tmp_path / "project" / ".local" / "postgres").exists()


def test_a_directory_that_can_not_be_written_is_one_line(up: Up, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / ".local").write_text("a file where a directory should be")
    process = up()
    assert process.ended() == 1
    assert "can't be written" in process.output
    assert process.output.count("\n") == 1


def test_a_foreign_database_that_does_not_answer_is_one_line(up: Up) -> None:
    process = up(DATABASE_URL="postgresql://app:hunter2@127.0.0.1:1/app")
    assert process.ended() == 69
    assert "error: the database does not answer (DATABASE_URL)" in process.output
    assert process.output.count("\n") == 1
    assert "hunter2" not in process.output


def test_a_child_that_can_not_start_ends_it_with_the_reason(up: Up, tmp_path: Path) -> None:
    data = tmp_path / "project" / ".local" / "postgres" / "data"
    data.mkdir(mode=0o700, parents=True)
    (data / "PG_VERSION").write_text("9.6")
    process = up()
    assert process.ended() == 1
    assert "postgres  | " in process.output
    assert process.lines[-1] == "error: postgres did not start; its lines above say why\n"


def test_without_a_database_started_other_commands_say_how_to_start_it(up: Up) -> None:
    process = up("check")
    assert process.ended() == 69
    assert process.output == (
        "error: no embedded database in .local/postgres: start it with `make up`\n"
    )

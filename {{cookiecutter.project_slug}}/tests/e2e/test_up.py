"""`up`: the whole service under its supervisor, from an empty directory."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.adapters.embedded import NOBODY

from ..conftest import SECRET
from ..processes import Process, eventually
from tools.keys import KEY

Up = Callable[..., Process]
NAMES = ["up", "postgres", "web", "worker", "scheduler"]


@contextmanager
def starting(home: Path) -> Iterator[Up]:
    """Starts `up` in a directory there, on its own embedded database."""
    with ExitStack() as ending:

        def start(*command: str, directory: str = "project", **environment: str) -> Process:
            place = home / directory
            place.mkdir(exist_ok=True)
            own = {"DATABASE_URL": "embedded:", "SECRET_KEY": SECRET, "API_KEY": KEY}
            environment = own | environment
            process = Process(*(command or ["up"]), environment=environment, directory=place)
            ending.callback(process.end)
            return process

        yield start


@pytest.fixture
def up(passable: Path) -> Iterator[Up]:
    with starting(passable) as start:
        yield start


@dataclass
class Two:
    """Two that are up side by side, in directories of their names, and what starts a third."""

    home: Path
    up: Up
    one: Process
    other: Process


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    home = tmp_path_factory.mktemp("up")
    home.chmod(0o711)
    with starting(home) as start:
        one, other = start(directory="one"), start(directory="other", API_KEY="")
        yield Two(home, start, is_up(one), is_up(other))


def is_up(process: Process) -> Process:
    eventually(
        lambda: "Ctrl-C stops it" in process.output, f"it is up:\n{process.output}", seconds=40
    )
    return process


def state(home: Path, directory: str = "project") -> dict[str, Any]:
    known: dict[str, Any] = json.loads((home / directory / ".local" / "up.json").read_text())
    return known


def pids(home: Path, directory: str = "project") -> dict[str, int]:
    return {name: known["pid"] for name, known in state(home, directory).items()}


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
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_it_makes_a_key_that_only_its_owner_can_read_and_says_how_to_use_it(two: Two) -> None:
    kept = two.home / "other" / ".env"
    (key,) = re.findall("^API_KEY=(.+)$", kept.read_text(), re.MULTILINE)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert key not in two.other.output
    (command,) = re.findall("a session starts by: (.+)", two.other.output)
    ran = subprocess.run(
        command, shell=True, cwd=kept.parent, capture_output=True, text=True, check=True
    )
    assert json.loads(ran.stdout)["session_id"]
    assert two.one.post("/chat/sessions").status_code == 201, "the key that it was given"
    assert not (two.home / "one" / ".env").exists()
    assert two.one.output.count("the first start: making a database") == 1
    assert "\x1b" not in two.one.output, "colour is for terminals"
    assert two.other.post("/chat/sessions").status_code == 401, "which is no key of the other"


def test_two_run_side_by_side_say_where_they_are_and_work(two: Two) -> None:
    for directory, process in {"one": two.one, "other": two.other}.items():
        known = state(two.home, directory)
        assert list(known) == NAMES
        for name in NAMES[1:]:
            assert f"{name:9} ready, pid {known[name]['pid']}" in process.output
        assert f"http://127.0.0.1:{process.port}\n" in process.output
        other_terminal = two.up("check", directory=directory)
        assert other_terminal.ended() == 0, other_terminal.output
        assert f":{known['worker']['pid']}\n" in other_terminal.output


def test_a_third_is_refused_and_what_is_kept_is_private(two: Two) -> None:
    third = two.up(directory="one")
    assert third.ended() == 1
    assert third.output == f"error: `up` runs in this directory already, as process {two.one.pid}\n"
    local = two.home / "one" / ".local"
    others = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
    assert not any(folder.stat().st_mode & others for folder in (local, local / "postgres"))
    assert stat.S_IMODE((local / "postgres" / "connection.json").stat().st_mode) == 0o600


def test_what_dies_is_started_again(two: Two) -> None:
    first = pids(two.home, "one")
    for name in NAMES[1:]:
        os.kill(first[name], signal.SIGKILL)
        restarted = f"{name} ended with -9; starting it again"
        eventually(lambda said=restarted: said in two.one.output, f"{name} is started again")  # type: ignore[misc]
    whole = "the service is whole again"
    eventually(lambda: two.up("check", directory="one").ended() == 0, whole)
    now = pids(two.home, "one")
    assert [name for name in NAMES if now[name] == first[name]] == ["up"]
    assert two.one.output.count("starting it again") == len(NAMES[1:])


def test_nothing_outlives_a_killed_supervisor_and_the_next_goes_on(two: Two) -> None:
    running = pids(two.home, "other")
    two.other.signal(signal.SIGKILL)
    eventually(lambda: not any(map(alive, running.values())), "no orphan is left", seconds=5)
    assert "the first start" not in is_up(two.up(directory="other")).output


def test_it_stops_the_database_last(two: Two) -> None:
    running = pids(two.home, "one").values()
    two.one.signal(signal.SIGINT)
    assert two.one.ended() == 0
    stopped = [line.split()[2] for line in two.one.lines if "stopped with 0" in line]
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

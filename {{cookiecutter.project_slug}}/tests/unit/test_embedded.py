"""The embedded PostgreSQL, where it can't be had or can't start."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.adapters import embedded
from {{ cookiecutter.package_name }}.adapters.embedded import Embedded
from {{ cookiecutter.package_name }}.errors import AppError, ConfigError

from ..processes import eventually


def test_without_its_package_one_is_told_to_name_a_real_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="name a real database"):
        embedded.resolve("embedded:")
    assert embedded.resolve("postgresql://db/app") == "postgresql://db/app"


def test_what_initdb_says_is_passed_on_and_no_half_cluster_is_left(
    passable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "INITDB", ("--encoding=EBCDIC",))
    with pytest.raises(AppError, match="EBCDIC"):
        Embedded(passable / "postgres").prepare()
    assert [file.name for file in (passable / "postgres").iterdir()] == ["connection.json"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    """Making one takes longer than all tests of it."""
    home = tmp_path_factory.mktemp("embedded")
    home.chmod(0o711)
    database = Embedded(home / "postgres")
    database.prepare()
    return database


@pytest.fixture
def database(cluster: Embedded) -> Iterator[Embedded]:
    known = cluster.directory / "connection.json"
    before = known.read_text()
    yield cluster
    known.write_text(before)
    (cluster.data / "postmaster.pid").unlink(missing_ok=True)


def test_a_damaged_password_file_is_one_line(database: Embedded) -> None:
    (database.directory / "connection.json").write_text('{"port": 1, "pass')
    for act in (database.url, database.prepare):
        with pytest.raises(AppError, match="is damaged"):
            act()


def test_a_live_server_in_the_same_place_is_named(
    database: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "RETIRE_SECONDS", 0.1)
    (database.data / "postmaster.pid").write_text(f"{os.getpid()}\n")
    with pytest.raises(AppError, match=f"process {os.getpid()} runs a PostgreSQL"):
        database.prepare()


def test_the_lock_file_of_a_dead_server_is_no_obstacle(database: Embedded) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    (database.data / "postmaster.pid").write_text(f"{dead.pid}\n")
    before = database.url()
    database.prepare()
    assert database.url() == before


def test_its_clock_is_utc_wherever_it_was_made(database: Embedded) -> None:
    """Where initdb finds another zone, it writes that down."""
    with (database.data / "postgresql.conf").open("a") as file:
        file.write("timezone = 'Asia/Tokyo'\n")
    asked = [*database.prepare(), "-C", "TimeZone"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == "UTC\n"


def test_a_zombie_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        assert embedded._is_alive(process.pid)  # noqa: SLF001
        os.kill(process.pid, signal.SIGKILL)
        eventually(lambda: not embedded._is_alive(process.pid), "it is seen as dead")  # noqa: SLF001


def test_a_port_that_is_taken_is_left_for_another(database: Embedded) -> None:
    port = int(database.url().rpartition(":")[2].partition("/")[0])
    with socket.create_server(("127.0.0.1", port)):
        database.prepare()
        assert f":{port}/" not in database.url()

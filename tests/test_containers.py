"""The image, built and run for real: by a user without rights, on a disk that can't be written, without a shell."""

import hashlib
import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from .built import IMAGE, RELEASE, SCOPES, Caller, converse
from .conftest import Baked, cli
from .engine import Engine, eventually
from .stand_ins import base

HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp")
PROBES = "--health-interval=disable"  # asked by the tests themselves
MOST_MB = 180
TOOLS = {"cc", "clang", "g++", "gcc", "go", "ld", "make", "pip", "pip3", "rustc", "uv"}
KEY = "signs nothing but what these tests send"


def test_the_image_says_what_it_is(engine: Engine, service: Baked, image: str) -> None:
    found = engine.inspect(image)
    labels = found["Config"]["Labels"]
    told = {name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()}
    assert (told["title"], told["revision"]) == ("release-agent", RELEASE)
    assert told["version"] == service.metadata["version"]
    assert found["Config"]["Env"].count(f"RELEASE={RELEASE}") == 1
    assert found["Healthcheck"]["Test"][:3] == ["CMD", "python", "-I"]


def test_it_is_little_more_than_its_base(engine: Engine, image: str) -> None:
    more = (engine.inspect(image)["Size"] - engine.inspect(base(engine))["Size"]) / 1e6
    print(f"the image is {more:.0f} MB more than its base")
    assert 0 < more <= MOST_MB


def powerful(root: Path) -> set[str]:
    """Files that run with the rights of another."""
    files = (path for path in root.rglob("*") if not path.is_symlink() and path.is_file())
    return {str(path.relative_to(root)) for path in files if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)}


def tools(root: Path) -> set[str]:
    folders = ("usr/bin", "usr/sbin", "usr/local/bin", "app/bin")
    return {path.name for folder in folders for path in (root / folder).iterdir()} & TOOLS


def test_nothing_in_it_compiles_installs_or_gives_rights(engine: Engine, image: str) -> None:
    with engine.mounted(base(engine)) as root:
        before = powerful(root)
    with engine.mounted(image) as root:
        assert powerful(root) <= before
        assert tools(root) == set()
        assert {path.lstat().st_uid for path in (root / "app").rglob("*")} == {0}, "what runs can't change itself"


def test_a_compiler_or_a_file_with_rights_would_be_seen(tmp_path: Path) -> None:
    for folder in ("usr/bin", "usr/sbin", "usr/local/bin", "app/bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/bin/gcc").touch()
    (tmp_path / "app/bin/root").touch(mode=0o4755)
    (tmp_path / "app/bin/root").chmod(0o4755)
    assert (tools(tmp_path), powerful(tmp_path)) == ({"gcc"}, {"app/bin/root"})


@pytest.mark.long
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_both_kinds_of_machine_get_all_of_the_lock_without_a_compiler(service: Baked, machine: str) -> None:
    place = ("--python-platform", f"{machine}-manylinux_2_28", "--python-version", "3.13")
    wheels = ("--only-binary", ":all:", "--require-hashes", "--target", "nowhere")
    command = ("uv", "pip", "install", "--dry-run", *place, *wheels, "-r", "requirements.txt")
    result = cli(*command, cwd=service.path)
    assert result.returncode == 0, result.stderr


def contents(root: Path) -> dict[str, str]:
    """Every file of the service with its hash."""
    files = (path for path in (root / "app").rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.long
def test_the_same_commit_gives_the_same_image(engine: Engine, service: Baked, image: str) -> None:
    again = f"{IMAGE}-again"
    with engine.mounted(image) as root:
        once = contents(root)
    first = engine.inspect(image)
    engine.make(service.path, "image", "BUILDER=podman", f"RELEASE={RELEASE}")
    engine.run("tag", IMAGE, again)
    with engine.mounted(again) as root:
        differing = {name for name, digest in contents(root).items() ^ once.items()}
    assert differing == set()
    second = engine.inspect(again)
    assert first["Id"] == second["Id"] or first["RootFS"] == second["RootFS"], "the layers differ in what is no file"


@pytest.fixture
def network(engine: Engine) -> Iterator[Callable[..., str]]:
    """Starts a container on a network of the test's own; all of them end with it."""
    name = f"test-{uuid4().hex[:8]}"
    engine.run("network", "create", name)
    try:

        def start(image: str, *options: str, called: str = "", command: tuple[str, ...] = ()) -> str:
            names = ("--name", f"{name}-{called}", "--network-alias", called) if called else ()
            words = ("run", "--detach", "--network", name, "--label", name, *names, *options, image, *command)
            return engine.told(*words)

        yield start
    finally:
        left = engine.told("ps", "--all", "--quiet", "--filter", f"label={name}").split()
        engine.run("rm", "--force", "--time=0", "--volumes", *left, check=False)
        engine.run("network", "rm", "--force", name)


@pytest.fixture
def start(engine: Engine, image: str, network: Callable[..., str]) -> Callable[..., str]:
    """Starts a process of the service beside a database."""
    database = network("docker.io/library/postgres:18.6", "--env=POSTGRES_PASSWORD=x", called="postgres")
    ready = ("exec", database, "pg_isready", "--host=127.0.0.1")
    eventually(lambda: engine.run(*ready, check=False).returncode == 0, "PostgreSQL is ready")
    url = "DATABASE_URL=postgresql://postgres:x@postgres:5432/postgres"
    own = ("--env", url, "--env", f"SECRET_KEY={KEY}", PROBES, *HARDENED)
    return lambda *command, options=(): network(image, *own, *options, command=command)


def ended(engine: Engine, container: str) -> int:
    return int(engine.told("wait", container))


def healthy(engine: Engine, container: str) -> None:
    alive = ("healthcheck", "run", container)
    eventually(lambda: engine.run(*alive, check=False).returncode == 0, f"{container} is healthy")


def published(engine: Engine, container: str) -> str:
    return f"http://{engine.told('port', container, '8000')}"


def test_every_process_runs_from_it_without_rights_and_a_killed_worker_loses_nothing(
    engine: Engine, service: Baked, start: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    no_shell = (f"--volume={tmp_path / 'empty'}:/usr/bin:ro",)
    migrate = start("migrate")
    assert ended(engine, migrate) == 0, engine.run("logs", migrate).stderr
    web = start("serve", options=("--publish=127.0.0.1::8000", *no_shell))
    workers = [start("work", options=no_shell) for _ in range(2)]
    processes = [web, *workers, start("schedule", options=no_shell)]
    for process in processes:
        healthy(engine, process)
    for process in processes:
        assert engine.told("exec", process, "python", "-c", "import os; print(os.getuid())") == "10001"
        status = engine.told("exec", process, "python", "-c", "print(open('/proc/1/status').read())")
        assert re.findall(r"(?m)^(?:CapEff|CapPrm|CapBnd):\t0+$", status), "it has capabilities"
        write = engine.run("exec", process, "python", "-c", "open('/app/x', 'w')", check=False)
        assert "Read-only file system" in write.stderr
    key = json.loads(engine.told("exec", web, "release-agent", "keys", "create", "smoke", *SCOPES))["key"]
    assert "deploy 1.4.2" in converse(service, published(engine, web), key)
    caller = Caller(published(engine, web), key)
    sessions = caller.speak(12)
    engine.run("kill", workers[0])
    eventually(lambda: all(caller.answers(session) for session in sessions), "the other worker answers all")
    assert {len(caller.answers(session)) for session in sessions} == {1}
    engine.run("stop", "--time=30", *processes[:1], *processes[2:])
    codes = {engine.inspect(process)["State"]["ExitCode"] for process in (web, workers[1], processes[-1])}
    assert codes == {0}

"""The compose files, read by the real compose tool: every combination, and what they say of safety.

That they are obeyed is for `make image`, which takes minutes.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter

from . import stand_ins
from .built import RELEASE
from .conftest import ROOT, Baked
from .engine import STORE

DEVELOPMENT = ("compose.yaml",)
PRODUCTION = ("compose.production.yaml",)
STAGING = (*PRODUCTION, "compose.staging.yaml")
WATCHED = (
    (),
    ("compose.monitoring.yaml",),
    ("compose.logging.yaml",),
    ("compose.monitoring.yaml", "compose.logging.yaml"),
)
EVERY = [(*files, *more) for files in (DEVELOPMENT, STAGING, PRODUCTION) for more in WATCHED]
PROCESSES = ("web", "worker", "scheduler")
SECRET = re.compile(r"(SECRET|PASSWORD|PASS|TOKEN|_KEY|_DSN|DATABASE_URL|BROKER_URL)")
FORM = {"RELEASE": RELEASE, "GRAFANA_PASSWORD": "x"}


class Project:
    """A folder with compose files, and the tool that reads them."""

    def __init__(self, folder: Path, tool: Path, environment: dict[str, str]) -> None:
        self.folder, self.tool, self.environment = folder, tool, environment

    def compose(self, files: tuple[str, ...], *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        named = [word for file in files for word in ("--file", file)]
        result = subprocess.run(
            [str(self.tool), *named, *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0 or not check, result.stdout[-2000:] + result.stderr[-4000:]
        return result

    def config(self, *files: str) -> dict[str, Any]:
        """What compose makes of the files, without a word of warning."""
        result = self.compose(files, "--profile", "*", "config", "--format", "json")
        assert result.stderr == ""
        found: dict[str, Any] = json.loads(result.stdout)
        return found


@pytest.fixture(scope="session")
def tool() -> Path:
    """The one that is installed, else Debian's; where neither can be had a laptop skips, and CI fails."""
    folders = ("/usr/libexec/docker", "/usr/local/libexec/docker", "/usr/lib/docker", "/usr/local/lib/docker")
    known = [Path(folder, "cli-plugins", "docker-compose") for folder in folders]
    if found := next((path for path in known if path.exists()), None) or shutil.which("docker-compose"):
        return Path(found)
    if shutil.which("apt-get") and shutil.which("dpkg-deb") and Path(stand_ins.KEYS).exists():
        return stand_ins.compose(STORE)
    why = "no compose file is read here: install Docker's compose plugin"
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def born(tmp_path_factory: pytest.TempPathFactory) -> Baked:
    """The default answers."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("born")
    (home / "config.yaml").write_text(json.dumps({"replay_dir": str(home)}), encoding="utf-8")
    made = cookiecutter(str(ROOT), no_input=True, output_dir=str(folder), config_file=str(home / "config.yaml"))
    return Baked(Path(made))


@pytest.fixture
def project(born: Baked, tool: Path) -> Project:
    return Project(born.path, tool, os.environ | FORM)


@pytest.mark.parametrize("files", EVERY, ids=" ".join)
def test_compose_reads_every_combination_without_a_warning(project: Project, files: tuple[str, ...]) -> None:
    services = project.config(*files)["services"]
    assert {*PROCESSES, "migrate", "postgres", "redis", "rabbitmq"} <= set(services)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("      replicas: 3", "      replica: 3"),
        ("networks: [default, data, outside]", "networks: [default, data, outsides]"),
        ("secrets: [POSTGRES_PASSWORD]", "secrets: [POSTGRES_PASS]"),
        ("${RELEASE}}", "${RELEASES}}"),
        ("deploy/environments/production.env", "deploy/environments/prod.env"),
    ],
)
def test_a_defect_in_a_compose_file_is_seen(project: Project, right: str, wrong: str) -> None:
    text = (project.folder / PRODUCTION[0]).read_text(encoding="utf-8")
    assert right in text
    (project.folder / "damaged.yaml").write_text(text.replace(right, wrong, 1), encoding="utf-8")
    try:
        with pytest.raises(AssertionError):
            project.config("damaged.yaml")
    finally:
        (project.folder / "damaged.yaml").unlink()


@pytest.mark.parametrize("files", [STAGING, PRODUCTION], ids=" ".join)
def test_production_runs_only_what_has_a_release(project: Project, files: tuple[str, ...]) -> None:
    del project.environment["RELEASE"]
    result = project.compose(files, "config", check=False)
    assert result.returncode != 0
    assert "RELEASE is missing a value: is not set. Name the commit" in result.stderr


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in (service.get("environment") or {}).items()}


@pytest.mark.parametrize("files", [STAGING, PRODUCTION], ids=" ".join)
def test_no_secret_stands_in_the_environment_of_production(project: Project, files: tuple[str, ...]) -> None:
    for name, service in project.config(*files)["services"].items():
        secret = {key: value for key, value in environment_of(service).items() if SECRET.search(key)}
        mounted = {f"/run/secrets/{entry['source']}" for entry in service.get("secrets", [])}
        assert all(key.endswith("_FILE") for key in secret), name
        assert set(secret.values()) <= mounted, name


@pytest.mark.parametrize("files", [STAGING, PRODUCTION], ids=" ".join)
def test_only_the_proxy_is_reached_from_outside_and_only_the_worker_gets_there(
    project: Project, files: tuple[str, ...]
) -> None:
    config = project.config(*files)
    services = config["services"]
    assert [name for name, service in services.items() if service.get("ports")] == ["proxy"]
    leading_out = {name for name, network in config["networks"].items() if not network.get("internal")}
    assert leading_out == {"public", "outside"}
    out = {name for name, service in services.items() if set(service["networks"]) & leading_out}
    assert out == {"proxy", "worker"}
    near_data = {name for name, service in services.items() if "data" in service["networks"]}
    assert near_data == {*PROCESSES, "migrate", "postgres", "redis", "rabbitmq"}


@pytest.mark.parametrize("files", [STAGING, PRODUCTION], ids=" ".join)
def test_everything_in_production_is_bounded_and_watched(project: Project, files: tuple[str, ...]) -> None:
    for name, service in project.config(*files)["services"].items():
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}, name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert name in {*PROCESSES, "migrate"} or service["healthcheck"]["test"], name


def test_development_and_production_run_the_same_things(project: Project) -> None:
    ours, theirs = (project.config(*files)["services"] for files in (DEVELOPMENT, PRODUCTION))
    for name in ours.keys() & theirs.keys():
        for key in ("command", "read_only", "cap_drop", "security_opt", "stop_grace_period", "init", "healthcheck"):
            assert ours[name].get(key) == theirs[name].get(key), f"{name}: {key}"
        assert name in {*PROCESSES, "migrate"} or ours[name]["image"] == theirs[name]["image"]
    assert set(ours) ^ set(theirs) == {"mail", "proxy"}


def test_staging_is_production_under_another_name(project: Project) -> None:
    one, two = (project.config(*files) for files in (STAGING, PRODUCTION))
    assert one["name"] != two["name"]
    for name, service in one["services"].items():
        told, original = environment_of(service), environment_of(two["services"][name])
        assert told.keys() == original.keys(), f"{name}: what staging does not say is production's"
        assert not service.get("secrets") or service["image"] == two["services"][name]["image"]
    assert all("/secrets/staging/" in secret["file"] for secret in one["secrets"].values())

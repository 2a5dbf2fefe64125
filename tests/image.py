"""What Dockerfile, compose.yaml and Procfile have to say to agree with the code and with one another."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

from .conftest import Baked

PROCESSES = {"web": "serve", "worker": "work", "scheduler": "schedule"}
COMPILERS = re.compile(r"\b(apt-get|build-essential|cargo|clang|g\+\+|gcc|make|rustc)\b")

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
    if re.search(r"--platform|\b(amd64|arm64|aarch64|x86_64)\b", text):
        yield "it is made for one kind of machine"
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
    for broker in ("redis", "rabbitmq"):
        if services[broker]["profiles"] != [broker]:
            yield f"{broker} runs unasked"
    if any(service["volumes"] != ["./src:/src:ro"] for service in ours.values()):
        yield "a process does not run the source, or may write to it"


def in_procfile(baked: Baked) -> Iterator[str]:
    """What is wrong with the Procfile."""
    lines = dict(line.split(": ") for line in baked.text("Procfile").splitlines())
    script = next(iter(baked.metadata["scripts"]))
    expected = PROCESSES | {"release": "migrate"}
    if {name: " ".join(line.split()[-2:]) for name, line in lines.items()} != {
        name: f"{script} {command}" for name, command in expected.items()
    }:
        yield "it runs other commands than the processes'"
    if any("METRICS_PORT=${PORT:-9100} " not in lines.get(name, "") for name in ("worker", "scheduler")):
        yield "two processes on one machine share a probe port"
    if not {line.split()[-1] for line in lines.values()} <= commands(baked):
        yield "it runs what is no command"


CHECKS = {"Dockerfile": in_dockerfile, "compose.yaml": in_compose, "Procfile": in_procfile}

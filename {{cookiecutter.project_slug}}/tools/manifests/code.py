"""What the manifests say of the program is so: commands, ports, settings, probes, seconds."""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from {{ cookiecutter.package_name }}.entrypoints import worker
from {{ cookiecutter.package_name }}.entrypoints.cli import cli
from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.settings import Settings, is_secret
from {{ cookiecutter.package_name }}.telemetry import probes

from .build import Build, Object, title
from .network import INSIDE
from .references import PROBES, mentions

OURS = ("web", "worker", "scheduler", "migrate")
PORTS = {"http": "port", "metrics": "metrics_port"}
"""Which setting says the number of a port."""
NO_SECRET = re.compile(r"pgmq:|\w+://[^@]+")
"""An address without a password."""
GIVEN = {"database_url": "postgresql://database/app", "secret_key": "x" * 32}


class Given(Settings):
    """Settings of what is given alone, whatever is set where this runs."""

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[Any, ...]:
        return (sources["init_settings"],)


def settings_with(values: dict[str, str]) -> Settings:
    return Given(**GIVEN | values)  # type: ignore[arg-type]


@cache
def paths() -> dict[str, set[str]]:
    """What is answered on each port."""
    web = {getattr(route, "path", "") for route in create_app(settings_with({})).routes}
    return {"http": web, "metrics": set(re.findall(r'case "(/\w+)"', inspect.getsource(probes)))}


@cache
def commands() -> set[str]:
    """What the command line understands."""
    return set(typer.main.get_command(cli).commands)  # type: ignore[attr-defined]


def public() -> list[str]:
    """What the world may ask of web, a value in place of each parameter."""
    return sorted(re.sub(r"{\w+}", "x", path) for path in paths()["http"] - INSIDE)


def faults(project: Path, build: Build) -> Iterator[str]:
    yield from _in_settings(build)
    user = re.findall(r"^USER (\d+):(\d+)$", (project / "Dockerfile").read_text(), re.MULTILINE)
    for maker, pod in build.pods():
        labels, spec = pod["metadata"]["labels"], pod["spec"]
        if labels["app.kubernetes.io/name"] not in OURS:
            continue
        (container,) = spec["containers"]
        given = spec["securityContext"]
        if [(str(given.get("runAsUser")), str(given.get("runAsGroup")))] != user:
            yield f"{maker}: it runs as another user than the image's"
        found = [*_in_container(container), *_in_time(build, spec, container)]
        yield from (f"{maker}: {fault}" for fault in [*found, *_in_mounts(build, spec, container)])
    yield from _in_scaling(build)


def _in_settings(build: Build) -> Iterator[str]:
    values, known = {}, {field.upper(): field for field in Settings.model_fields}
    for name, value in build.settings.items():
        of_file = known.get(name.removesuffix("_FILE"), "")
        if name in known:
            values[known[name]] = value
            if is_secret(known[name]) and not NO_SECRET.fullmatch(value):
                yield f"{name} is a secret, and what is said here is not"
            if f"{name}_FILE" in build.settings:
                yield f"{name} and {name}_FILE are both there"
        elif not of_file or not is_secret(of_file):
            yield f"{name} is no setting"
    try:
        settings_with(values)
    except ValidationError as error:
        for fault in error.errors():
            yield f"{str(fault['loc'][0]).upper()}={fault['input']}: {fault['msg']}"


def _in_container(container: Object) -> Iterator[str]:
    if len(container.get("args", [])) != 1 or container["args"][0] not in commands():
        yield f"{container.get('args')} is no command"
    defaults = Settings.model_fields
    for port in container.get("ports", []):
        if port["name"] not in PORTS:
            yield f"nothing of ours has a port {port['name']}"
        elif port["containerPort"] != defaults[PORTS[port["name"]]].default:
            yield f"{port['name']} is another port than {PORTS[port['name']].upper()}"
    for variable in container.get("env", []):
        if variable["name"].lower() not in defaults:
            yield f"{variable['name']} is no setting"
    for probe in (container[name] for name in PROBES if name in container):
        for asked in mentions(probe, "httpGet"):
            if asked["path"] not in paths().get(asked["port"], ()):
                yield f"nothing answers {asked['path']} on {asked['port']}"
    if container.get("args") == ["migrate"]:
        return
    if not all(name in container for name in PROBES):
        yield "a probe is missing"
    elif container["readinessProbe"]["httpGet"]["path"] != "/ready":
        yield "it takes the place of another before it can do its work: readinessProbe"


def _in_time(build: Build, spec: Object, container: Object) -> Iterator[str]:
    """SIGTERM comes after the sleep; SIGKILL after everything else."""
    if container.get("args") == ["migrate"]:
        return
    sleep = sum(sleep["seconds"] for sleep in mentions(container.get("lifecycle"), "sleep"))
    default = Settings.model_fields["shutdown_grace"].default
    grace = int(build.settings.get("SHUTDOWN_GRACE", default))
    goodbye = worker.CLOSING_SECONDS + worker.GOODBYE_SECONDS
    if spec.get("terminationGracePeriodSeconds", 30) < sleep + grace + goodbye:
        yield f"it is killed before {sleep} + {grace} + {goodbye:g} seconds are over"
    if container.get("args") == ["serve"] and not sleep:
        yield "requests still come when it has stopped: preStop"


def _in_mounts(build: Build, spec: Object, container: Object) -> Iterator[str]:
    """Where a setting's file is said to be, the Secret is, with that setting's name."""
    volumes = {volume["name"] for volume in spec["volumes"] if "secret" in volume}
    mounts = {mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in volumes}
    for name, value in build.settings.items():
        folder, _, file = value.rpartition("/")
        if name.endswith("_FILE") and (folder not in mounts or f"{file}_FILE" != name):
            yield f"{name}={value} is no file of a Secret"


def _in_scaling(build: Build) -> Iterator[str]:
    settings = build.settings
    default = Settings.model_fields["worker_concurrency"].default
    places = int(settings.get("WORKER_CONCURRENCY", default))
    for thing in build.of("ScaledObject"):
        for target in mentions(thing, "targetQueryValue"):
            if not 0 < float(target) < places:
                yield f"{title(thing)}: {target} sessions for a worker of {places} places"
    secrets = {name.upper() for name in Settings.model_fields if is_secret(name)}
    for thing in build.of("TriggerAuthentication"):
        for reference in thing["spec"]["secretTargetRef"]:
            if reference["key"] not in secrets:
                yield f"{title(thing)}: {reference['key']} is no secret setting"

"""The compose files say of an environment, and of brokers, what is said elsewhere."""

from collections.abc import Iterator
from pathlib import Path

from .build import Build, Object, parsed, title
from .environments import PROCESSES, Facts, described

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
COMPOSE_UNITS = {"b": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def in_images(project: Path, build: Build) -> Iterator[str]:
    """Where a broker is of another version than on a laptop, whose tag may say less of it."""
    services = parsed(project / "compose.yaml")["services"]
    for thing in build.of("StatefulSet"):
        (container,) = thing["spec"]["template"]["spec"]["containers"]
        known = services.get(container["name"], {}).get("image", container["image"])
        if not f"{container['image']}.".startswith(f"{known}."):
            yield f"{title(thing)} is {container['image']}, where compose.yaml has {known}"


def in_environment(project: Path, name: str) -> Iterator[str]:
    """Where the compose file of that name, which may go on production's, says something else."""
    own, first = project / f"compose.{name}.yaml", project / "compose.production.yaml"
    if not own.is_file():
        return
    files = dict.fromkeys(file for file in (first, own) if file.is_file())
    services: Object = {}
    for file in files:
        services = _merged(services, parsed(file)["services"])
    said = described(project, name)
    for process in PROCESSES:
        yield from _in_service(said, process, services.get(process, {}))
        if f"deploy/environments/{name}.env" not in str(services.get(process, {}).get("env_file")):
            yield f"{process} is not given deploy/environments/{name}.env"
    if said["host"] not in str(services.get("proxy", {}).get("environment")):
        yield f"its proxy is not told the host {said['host']}"


def _merged(under: Object, over: Object) -> Object:
    """As compose merges its files, in so far as it matters here."""
    both = {
        key: _merged(under[key], over[key])
        for key in under.keys() & over.keys()
        if isinstance(under[key], dict) and isinstance(over[key], dict)
    }
    return under | over | both


def _in_service(said: Facts, process: str, service: Object) -> Iterator[str]:
    deploy = service.get("deploy", {})
    limits = deploy.get("resources", {}).get("limits", {})
    replicas, wanted = deploy.get("replicas", 1), said[f"replicas of {process}"]
    if replicas != wanted:
        yield f"replicas of {process} is {replicas}, where the environment says {wanted}"
    memory, wanted = str(limits.get("memory", 0)), said[f"memory of {process}"]
    if compose_bytes(memory) != quantity(wanted):
        yield f"memory of {process} is {memory}, where the environment says {wanted}"
    if said["image"] not in str(service.get("image")):
        yield f"image of {process} is {service.get('image')}, and not {said['image']}"


def quantity(text: str) -> int:
    """Bytes, as Kubernetes writes them."""
    number = text.rstrip("kMGi")
    return int(number) * UNITS[text[len(number) :]]


def compose_bytes(text: str) -> int:
    """Bytes, as compose writes them: its M is a Mi."""
    number = text.lower().rstrip("bkmgi")
    unit = text.lower()[len(number) :][:1] or "b"
    return int(number) * COMPOSE_UNITS[unit]

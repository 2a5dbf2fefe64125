"""deploy/environments/ says how deploys differ. Overlays have to say the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .build import FOLDER, Build, parsed
from .copies import ENVIRONMENTS

PROCESSES = ("web", "worker", "scheduler")
STRATEGIES = ("rolling", "blue-green", "canary")
Facts = dict[str, Any]


def described(project: Path, name: str) -> Facts:
    """What is said of an environment, fact by fact."""
    said = parsed(project / ENVIRONMENTS / f"{name}.yaml")
    facts: Facts = {key: said[key] for key in ("namespace", "host", "image")}
    facts |= {f"ingress {key}": value for key, value in said["ingress"].items()}
    facts |= {f"replicas of {process}": said["replicas"][process] for process in PROCESSES}
    facts |= {f"most of {process}": most for process, most in said["most"].items()}
    for process, sizes in said["resources"].items():
        facts |= {f"{size} of {process}": value for size, value in sizes.items()}
    return facts


def built(build: Build) -> Iterator[tuple[str, Any]]:
    """The same facts as an overlay has them; some of them in more than one place."""
    yield from (("namespace", name) for name in build.names("Namespace"))
    for thing in build.objects:
        if thing["kind"] != "Namespace":
            yield "namespace", thing["metadata"].get("namespace")
    yield from _routed(build)
    yield from _counted(build)
    for thing in build.of("Deployment"):
        process = thing["metadata"]["name"]
        (container,) = thing["spec"]["template"]["spec"]["containers"]
        yield "image", container["image"].partition("@")[0].rpartition(":")[0] or container["image"]
        sizes = container["resources"]
        yield f"cpu of {process}", sizes["requests"].get("cpu")
        yield f"memory of {process}", sizes["requests"].get("memory")
        yield f"memory of {process}", sizes["limits"].get("memory")
    if hosts := build.settings.get("ALLOWED_HOSTS"):
        yield "host", hosts


def _routed(build: Build) -> Iterator[tuple[str, Any]]:
    for ingress in build.of("Ingress"):
        yield "ingress class", ingress["spec"].get("ingressClassName")
        yield from (("host", rule["host"]) for rule in ingress["spec"]["rules"])
        yield from (
            ("host", host) for tls in ingress["spec"].get("tls", []) for host in tls["hosts"]
        )
    for route in build.of("HTTPRoute"):
        yield from (("host", host) for host in route["spec"]["hostnames"])
        yield from (("ingress namespace", to["namespace"]) for to in route["spec"]["parentRefs"])
    for policy in build.of("NetworkPolicy"):
        if policy["metadata"]["name"] == "web":
            (source,) = policy["spec"]["ingress"][0]["from"]
            labels = source["namespaceSelector"]["matchLabels"]
            yield "ingress namespace", labels["kubernetes.io/metadata.name"]


def _counted(build: Build) -> Iterator[tuple[str, Any]]:
    for thing in build.of("Deployment"):
        if "replicas" in thing["spec"]:
            yield f"replicas of {thing['metadata']['name']}", thing["spec"]["replicas"]
    for thing in build.of("HorizontalPodAutoscaler"):
        yield f"replicas of {thing['metadata']['name']}", thing["spec"]["minReplicas"]
        yield f"most of {thing['metadata']['name']}", thing["spec"]["maxReplicas"]
    for thing in build.of("ScaledObject"):
        yield f"replicas of {thing['metadata']['name']}", thing["spec"]["minReplicaCount"]
        yield f"most of {thing['metadata']['name']}", thing["spec"]["maxReplicaCount"]


def faults(project: Path, build: Build) -> Iterator[str]:
    """Where an overlay says something else."""
    said = described(project, build.environment)
    found = list(built(build))
    for fact, value in found:
        if fact not in said:
            yield f"{fact} is {value}, of which the environment says nothing"
        elif said[fact] != value:
            yield f"{fact} is {value}, where the environment says {said[fact]}"
    unsaid = said.keys() - {fact for fact, _ in found}
    if build.names("HTTPRoute"):  # instead of an Ingress, and a Gateway has its class by itself
        unsaid -= {"ingress class"}
    yield from (f"{fact} is nowhere" for fact in sorted(unsaid))
    yield from _of_settings(project, build)


def _of_settings(project: Path, build: Build) -> Iterator[str]:
    said = settings_of(project / ENVIRONMENTS / f"{build.environment}.env")
    elsewhere = _declared(project)
    for name, value in said.items():
        if build.settings.get(name) != value:
            yield f"{name}={build.settings.get(name)}, where the environment says {value}"
    for name, value in build.settings.items():
        if name not in said and f"{name}={value}" not in elsewhere:
            yield f"{name}={value} is said by the overlay alone: say it in {ENVIRONMENTS}"
    if said.get("ENVIRONMENT") != build.environment:
        yield f"ENVIRONMENT={said.get('ENVIRONMENT')} in {build.environment}.env"


def _declared(project: Path) -> set[str]:
    """What base and components say, which is the same wherever they are used."""
    folder = project / FOLDER
    files = [folder / "base", *sorted((folder / "components").iterdir())]
    maps = (parsed(file / "kustomization.yaml").get("configMapGenerator", []) for file in files)
    return {literal for each in maps for one in each for literal in one.get("literals", [])}


def settings_of(file: Path) -> dict[str, str]:
    lines = (line.strip() for line in file.read_text().splitlines())
    named = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in named}


def in_description(project: Path, name: str) -> Iterator[str]:
    """What is wrong with the description itself."""
    said = parsed(project / ENVIRONMENTS / f"{name}.yaml")
    if said["strategy"] not in STRATEGIES:
        yield f"strategy {said['strategy']}: it is one of {', '.join(STRATEGIES)}"
    if not isinstance(said.get("context"), str):
        yield f"context {said.get('context')}: it is kubectl's name for the cluster"
    if not isinstance(said["approvals"], int) or said["approvals"] < 0:
        yield f"approvals {said['approvals']}: it is a number of people"
    for process, most in said["most"].items():
        if not 0 < said["replicas"][process] <= most:
            yield f"{process}: {said['replicas'][process]} replicas, and {most} at most"

"""What an object names is there: settings, secrets, disks, ports, what is scaled or selected."""

from collections.abc import Iterator
from typing import Any

from .build import Build, Object, title

OUTSIDE = {"secrets", "web-tls", "rabbitmq"}
"""Secrets that are made by hand or by an operator; base and components say what is in them."""
VERSION = "app.kubernetes.io/version"
SCALERS = ("HorizontalPodAutoscaler", "ScaledObject")
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
Labels = dict[str, str]


def faults(build: Build) -> Iterator[str]:
    for maker, pod in build.pods():
        yield from (f"{maker}: {fault}" for fault in _in_pod(build, pod))
    yield from _in_selectors(build)
    yield from _in_services(build)
    yield from _in_scalers(build)
    yield from _in_rollouts(build)


def mentions(thing: Any, key: str) -> Iterator[Any]:
    """Every value under that key, however deep."""
    if isinstance(thing, dict):
        for name, value in thing.items():
            if name == key:
                yield value
            yield from mentions(value, key)
    elif isinstance(thing, list):
        for value in thing:
            yield from mentions(value, key)


def _in_pod(build: Build, pod: Object) -> Iterator[str]:
    spec = pod["spec"]
    for claim in mentions(spec, "claimName"):
        if claim not in build.names("PersistentVolumeClaim"):
            yield f"there is no PersistentVolumeClaim {claim}"
    for source in mentions(spec, "configMapRef"):
        if source["name"] not in build.names("ConfigMap"):
            yield f"there is no ConfigMap {source['name']}"
    used = {
        source["name"] for key in ("secretRef", "secretKeyRef") for source in mentions(spec, key)
    }
    for secret in sorted(used | set(mentions(spec, "secretName"))):
        if secret not in OUTSIDE:
            yield f"nobody makes a Secret {secret}"
    account = spec.get("serviceAccountName", "default")
    if account not in build.names("ServiceAccount") | {"default"}:
        yield f"there is no ServiceAccount {account}"
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    for container in spec["containers"]:
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        yield from (f"there is no volume {name}" for name in sorted(mounted - volumes))
        yield from (f"volume {name} is mounted nowhere" for name in sorted(volumes - mounted))
        yield from _in_probes(container)


def _in_probes(container: Object) -> Iterator[str]:
    ports = {port["name"] for port in container.get("ports", [])}
    for probe in (container[name] for name in PROBES if name in container):
        for asked in mentions(probe, "httpGet"):
            if asked["port"] not in ports:
                yield f"a probe asks the port {asked['port']}, which is not there"


def selectors(build: Build) -> Iterator[tuple[str, Object]]:
    """Whatever selects pods, and how."""
    for thing in build.of("Service"):
        yield title(thing), {"matchLabels": thing["spec"]["selector"]}
    for thing in build.of("Deployment", "StatefulSet", "PodDisruptionBudget", "PodMonitor"):
        yield title(thing), thing["spec"]["selector"]
    for thing in build.of("NetworkPolicy"):
        yield title(thing), thing["spec"]["podSelector"]
        for peer in (p for side in ("from", "to") for rule in mentions(thing, side) for p in rule):
            if "podSelector" in peer and "namespaceSelector" not in peer:
                yield title(thing), peer["podSelector"]


def selects(selector: Object, labels: Labels) -> bool:
    """Whether a pod with these labels is meant; of expressions we write In and Exists alone."""
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    expressions = selector.get("matchExpressions", [])
    return wanted and all(
        e["key"] in labels and labels[e["key"]] in e.get("values", [labels[e["key"]]])
        for e in expressions
    )


def _in_selectors(build: Build) -> Iterator[str]:
    labelled = [pod["metadata"]["labels"] for _, pod in build.pods()]
    for name, selector in selectors(build):
        keys = set(selector.get("matchLabels", {}))
        keys |= {expression["key"] for expression in selector.get("matchExpressions", [])}
        if VERSION in keys:
            yield f"{name} selects a version: the next release would be a stranger to it"
        elif not any(selects(selector, labels) for labels in labelled):
            yield f"{name} selects no pod"
    for thing in build.of("Deployment", "StatefulSet"):
        labels = thing["spec"]["template"]["metadata"]["labels"]
        if not selects(thing["spec"]["selector"], labels):
            yield f"{title(thing)} does not select its own pods"
        if thing["kind"] == "StatefulSet" and VERSION in labels:
            yield f"{title(thing)} is of a release, and each would restart it"


def _ports(build: Build, selector: Object) -> set[str]:
    """The names of the ports that selected pods have."""
    pods = (pod for _, pod in build.pods() if selects(selector, pod["metadata"]["labels"]))
    containers = (container for pod in pods for container in pod["spec"]["containers"])
    return {port["name"] for container in containers for port in container.get("ports", [])}


def _in_services(build: Build) -> Iterator[str]:
    offered: dict[str, set[object]] = {}
    for thing in build.of("Service"):
        spec = thing["spec"]
        ports = _ports(build, {"matchLabels": spec["selector"]})
        for port in spec["ports"]:
            if port["targetPort"] not in ports:
                yield f"{title(thing)}: no pod has a port {port['targetPort']}"
        of_service = [{port["name"], port["port"]} for port in spec["ports"]]
        offered[thing["metadata"]["name"]] = set().union(*of_service)
    for thing in build.of("Ingress"):
        for service in mentions(thing, "service"):
            port = service["port"].get("name", service["port"].get("number"))
            if port not in offered.get(service["name"], ()):
                yield f"{title(thing)}: there is no Service {service['name']} with a port {port}"
    for thing in build.of("HTTPRoute"):
        for service in (each for refs in mentions(thing, "backendRefs") for each in refs):
            if service["port"] not in offered.get(service["name"], ()):
                there = f"there is no Service {service['name']} with a port {service['port']}"
                yield f"{title(thing)}: {there}"
    for thing in build.of("PodMonitor"):
        for point in thing["spec"]["podMetricsEndpoints"]:
            if point["port"] not in _ports(build, thing["spec"]["selector"]):
                yield f"{title(thing)}: no pod has a port {point['port']}"
    yield from _in_policies(build)


def _in_policies(build: Build) -> Iterator[str]:
    everywhere = _ports(build, {})
    for thing in build.of("NetworkPolicy"):
        for ports in mentions(thing, "ports"):
            for port in (each["port"] for each in ports):
                if isinstance(port, str) and port not in everywhere:
                    yield f"{title(thing)}: no pod has a port {port}"


def _in_scalers(build: Build) -> Iterator[str]:
    taken: dict[str, str] = {}
    for thing in build.of(*SCALERS):
        target = thing["spec"]["scaleTargetRef"]
        scaled = f"{target.get('kind', 'Deployment')} {target['name']}"
        if target["name"] not in build.names(target.get("kind", "Deployment")):
            yield f"{title(thing)} scales {scaled}, which is not there"
        if scaled in taken:
            yield f"{scaled} is scaled by both {taken[scaled]} and {title(thing)}"
        taken[scaled] = title(thing)
    for thing in build.of("Deployment", "Rollout"):
        if title(thing) in taken and "replicas" in thing["spec"]:
            yield f"{title(thing)} has replicas, which its autoscaler counts"


def _in_rollouts(build: Build) -> Iterator[str]:
    named = {
        "templateName": ("AnalysisTemplate", build.names("AnalysisTemplate")),
        "authenticationRef": ("TriggerAuthentication", build.names("TriggerAuthentication")),
        "workloadRef": ("Deployment", build.names("Deployment")),
    }
    for thing in build.of("Rollout", "ScaledObject"):
        for key, (kind, names) in named.items():
            for found in mentions(thing, key):
                name = found["name"] if isinstance(found, dict) else found
                if name not in names:
                    yield f"{title(thing)}: there is no {kind} {name}"
    for thing in build.of("Rollout"):
        if "rollbackWindow" not in thing["spec"]:
            yield f"{title(thing)} goes back as slowly as it goes on: rollbackWindow"
    for thing in build.of("TriggerAuthentication"):
        for reference in thing["spec"]["secretTargetRef"]:
            if reference["name"] not in OUTSIDE:
                yield f"{title(thing)}: nobody makes a Secret {reference['name']}"

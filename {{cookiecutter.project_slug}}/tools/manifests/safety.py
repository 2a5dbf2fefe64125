"""What a pod may do to the machine that it is on: nothing."""

from collections.abc import Iterator

from .build import Build, Object

LEVELS = ("enforce", "audit", "warn")


def faults(build: Build) -> Iterator[str]:
    for namespace in build.of("Namespace"):
        labels = namespace["metadata"]["labels"]
        for level in LEVELS:
            if labels.get(f"pod-security.kubernetes.io/{level}") != "restricted":
                yield f"Namespace: pod-security.kubernetes.io/{level} is not restricted"
    for account in build.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield "ServiceAccount: it gets a token, and nothing here asks the Kubernetes API"
    for maker, pod in build.pods():
        yield from (f"{maker}: {fault}" for fault in _in_pod(pod["spec"]))


def _in_pod(spec: Object) -> Iterator[str]:
    given = spec.get("securityContext", {})
    if not given.get("runAsNonRoot") or not given.get("runAsUser"):
        yield "it may run as root"
    if given.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "it may call all of the kernel: seccompProfile"
    if spec.get("automountServiceAccountToken") is not False:
        yield "it gets a token: automountServiceAccountToken"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"it sees the machine: {key}"
    for container in spec["containers"] + spec.get("initContainers", []):
        yield from _in_container(container)


def _in_container(container: Object) -> Iterator[str]:
    given = container.get("securityContext", {})
    if given.get("privileged") or given.get("allowPrivilegeEscalation") is not False:
        yield "it may gain privileges"
    if given.get("readOnlyRootFilesystem") is not True:
        yield "it may write its own files"
    if given.get("capabilities") != {"drop": ["ALL"]}:
        yield "it has capabilities"
    sizes = container.get("resources", {})
    if not {"cpu", "memory"} <= set(sizes.get("requests", {})) or "memory" not in sizes.get(
        "limits", {}
    ):
        yield "nobody knows how big it is: resources"

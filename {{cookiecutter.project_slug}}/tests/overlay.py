"""A small overlay, a project folder that has it, and a desk from which it is released."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .kubectl import VERSION, WRITES, Cluster, Error, Object, call
from tools.rollout.__main__ import main
from tools.rollout.kubectl import KubectlError

MEMORY = ("releases", "releasing", "going-back-to", "gone-back-from")
NAME = "registry.example.com/app"
PART = "app.kubernetes.io/name"
ENVIRONMENT = {
    "namespace": "app-staging",
    "host": "app.example.com",
    "image": NAME,
    "context": "staging-cluster",
    "strategy": "rolling",
}


def process(name: str, **spec: Any) -> Object:
    labels = {PART: name, "lane": "default"}
    pods = {"containers": [{"name": "app", "image": f"{NAME}:unreleased"}]}
    template = {"metadata": {"labels": labels}, "spec": pods}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": spec | {"selector": {"matchLabels": labels}, "template": template},
    }


def thing(kind: str, name: str, api: str = "v1", **parts: Any) -> Object:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}} | parts


def rendered() -> list[Object]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    path = {"path": {"type": "PathPrefix", "value": "/chat"}}
    rule = {"matches": [path], "backendRefs": [{"name": "web", "port": 80}]}
    selector = {PART: "web", "lane": "default"}
    back = {"rollbackWindow": {"revisions": 10}}
    canary = back | {"workloadRef": target, "strategy": {"canary": {"steps": [{"setWeight": 10}]}}}
    job = process("migrate")["spec"]["template"]
    return [
        thing("ConfigMap", "settings-abc", data={"PORT": "8000"}),
        thing("Service", "web", spec={"selector": selector, "ports": [{"port": 80}]}),
        process("web"),
        process("worker"),
        process("scheduler", replicas=2),
        thing("Job", "migrate-unreleased", "batch/v1", spec={"template": job}),
        thing(
            "HorizontalPodAutoscaler",
            "web",
            "autoscaling/v2",
            spec={"scaleTargetRef": target, "minReplicas": 2},
        ),
        thing(
            "HTTPRoute",
            "web",
            "gateway.networking.k8s.io/v1",
            spec={"hostnames": ["app.example.com"], "rules": [rule]},
        ),
        thing("Rollout", "web", "argoproj.io/v1alpha1", spec=canary),
        thing("AnalysisTemplate", "web", "argoproj.io/v1alpha1", spec={"metrics": []}),
    ]


def project(folder: Path, **changed: Any) -> Path:
    """As JSON, which is YAML."""
    for name in ("staging", "production"):
        file = folder / "deploy" / "environments" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(ENVIRONMENT | changed))
    overlay = folder / "deploy" / "kubernetes" / "overlays" / "staging"
    overlay.mkdir(parents=True)
    (overlay / "kustomization.yaml").write_text(json.dumps({"resources": ["all.yaml"]}))
    (overlay / "all.yaml").write_text(rendered_as_text(rendered()))
    return folder


def rendered_as_text(objects: list[Object]) -> str:
    return "".join(f"---\n{json.dumps(one)}\n" for one in objects)


class Killed(BaseException):
    """As by SIGKILL: nothing of the command runs any more."""


class Desk:
    """Where releases are started: a project, a cluster, a clock that sleeping moves."""

    def __init__(self, folder: Path, **changed: Any) -> None:
        self.project = project(folder, **changed)
        self.cluster = Cluster()
        self.overlay = rendered()
        self.calls: list[tuple[str, ...]] = []
        self.given: list[str] = []
        self.moments = 0
        self.seconds = 0.0
        self.kill_at: int | None = None
        self.before_call: Callable[[Cluster], None] | None = None
        self.is_away: Callable[[], bool] = lambda: False

    def start(self, command: tuple[str, ...], stdin: str) -> str:
        if command[1] == "kustomize":
            return rendered_as_text(self.overlay)
        self.moments += 1
        if command[3] in WRITES:
            self.calls.append(command[3:])
            self.given.append(stdin)
        elif self.is_away():
            raise KubectlError("the server is away")
        if self.before_call:
            self.before_call(self.cluster)
        try:
            return call(self.cluster, command, stdin)
        except Error as error:
            raise KubectlError(str(error).partition("\n")[0]) from None
        finally:
            if self.moments == self.kill_at:
                raise Killed

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def rollout(self, line: str) -> int:
        """The exit code of a command, as it is typed."""
        given = line.replace("IMAGE:", f"{NAME}:").split()
        return main(given, self.project, self.start, lambda: self.seconds, self.sleep)

    def killed(self, line: str, at: int) -> bool:
        """After kubectl has been called so often; False if it is not."""
        self.kill_at, self.moments = at, 0
        try:
            self.rollout(line)
        except Killed:
            return True
        finally:
            self.kill_at = None
        return False

    @property
    def serves(self) -> set[str]:
        """The releases that traffic reaches."""
        return {
            pods["spec"]["template"]["metadata"]["labels"][VERSION]
            for pods in self.cluster.served()
        }

    def pods(self) -> dict[str, tuple[str, int]]:
        """What has pods: of which release, and how many."""
        found = {}
        for old in self.cluster.of_kind("replicaset"):
            (owner,) = old["metadata"]["ownerReferences"]
            if ready := old["status"]["readyReplicas"]:
                labels = old["spec"]["template"]["metadata"]["labels"]
                found[f"{owner['kind']} {owner['name']}"] = (labels[VERSION], ready)
        return found

    def remembered(self) -> dict[str, str]:
        noted: dict[str, str] = self.cluster.find("service/web")["metadata"]["annotations"]
        return {name: noted[name] for name in MEMORY if name in noted}

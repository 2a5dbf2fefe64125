"""A kubectl of a cluster that is a JSON file; run as a program, it goes by that name on the PATH.

It knows the verbs that releases are made of, and no other. Each look lets the controllers do one
more thing, as time does in a cluster. After each change it is asked whom traffic reaches.
"""

import copy
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

Object = dict[str, Any]
CONTEXT = "staging-cluster"
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
VERSION = "app.kubernetes.io/version"
KINDS = {"rollouts.argoproj.io": "rollout"}
TICKS = 40
WRITES = {"apply", "patch", "scale", "delete", "exec"}


class Error(Exception):
    """What it says on stderr."""


class Broken(Exception):
    """Traffic went where it must not."""


class Cluster:
    def __init__(self, kept: Object | None = None) -> None:
        self.kept = {} if kept is None else kept
        self.objects: dict[str, Object] = self.kept.setdefault("objects", {})
        self.tried: list[str] = self.kept.setdefault("tried", [])
        self.migrated: list[str] = self.kept.setdefault("migrated", [])

    def find(self, name: str) -> Object:
        if name not in self.objects:
            kind, _, own = name.partition("/")
            raise Error(f'Error from server (NotFound): {kind}s "{own}" not found')
        return self.objects[name]

    def add(self, thing: Object) -> None:
        self.kept["time"] = self.kept.get("time", 0) + 1
        thing["metadata"]["creationTimestamp"] = f"2026-01-01T{self.kept['time']:08}Z"
        self.objects[f"{thing['kind'].lower()}/{thing['metadata']['name']}"] = thing

    def of_kind(self, kind: str) -> list[Object]:
        return [thing for thing in self.objects.values() if thing["kind"].lower() == kind]

    # What controllers do.

    def tick(self) -> None:
        for job in self.of_kind("job"):
            self._work(job)
        for autoscaler in self.of_kind("horizontalpodautoscaler"):
            self._count(autoscaler)
        for deployment in self.of_kind("deployment"):
            self._roll(deployment)
        for rollout in self.of_kind("rollout"):
            self._analyse(rollout)
        self.check()

    def _work(self, job: Object) -> None:
        if not is_late(job, 2):
            return
        pod = job["spec"]["template"]
        if "unmigratable" in image(pod):
            failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
            job["status"]["conditions"] = [failed | {"message": "Job has failed too often"}]
        else:
            job["status"] |= {"succeeded": 1}
            job["status"]["conditions"] = [{"type": "Complete", "status": "True"}]
            self.migrated.append(pod["metadata"]["labels"][VERSION])

    def _count(self, autoscaler: Object) -> None:
        """What was scaled to nothing is left alone, as in a real one."""
        target = autoscaler["spec"]["scaleTargetRef"]
        counted = self.objects.get(f"{target['kind'].lower()}/{target['name']}")
        least = autoscaler["spec"]["minReplicas"]
        if counted and 0 < counted["spec"].get("replicas", 1) < least:
            change(counted, {"spec": {"replicas": least}})

    def _roll(self, deployment: Object) -> None:
        asked = deployment["spec"].setdefault("replicas", 1)
        pods = deployment["spec"]["template"]
        own = self._replicaset(deployment, pods)
        status = deployment.setdefault("status", {})
        status["observedGeneration"] = deployment["metadata"]["generation"]
        is_web = deployment["metadata"]["name"].startswith("web")
        is_fit = not is_web or pods["metadata"]["labels"][VERSION] in self.migrated
        if asked and own["status"]["readyReplicas"] != asked and not is_late(own, 2):
            status["updatedReplicas"] = 0
            return
        if asked and ("crashing" in image(pods) or not is_fit):
            late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
            status["conditions"] = [late | {"message": "it has timed out progressing"}]
            return
        for old in self._owned(deployment):
            old["status"]["readyReplicas"] = asked if old is own else 0
        counts = ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")
        deployment["status"] = dict.fromkeys(counts, asked) | {
            "observedGeneration": deployment["metadata"]["generation"]
        }

    def _replicaset(self, owner: Object, template: Object) -> Object:
        hash_ = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]
        name = f"replicaset/{owner['metadata']['name']}-{owner['kind'][0].lower()}{hash_}"
        if name not in self.objects:
            pods = copy.deepcopy(template)
            kind = "" if owner["kind"] == "Deployment" else "rollouts-"
            pods["metadata"]["labels"][f"{kind}pod-template-hash"] = hash_
            metadata = {
                "name": name.partition("/")[2],
                "labels": pods["metadata"]["labels"],
                "ownerReferences": [{"kind": owner["kind"], "name": owner["metadata"]["name"]}],
            }
            status = {"readyReplicas": 0}
            self.add(
                {"kind": "ReplicaSet", "metadata": metadata}
                | {"spec": {"template": pods}, "status": status}
            )
        return self.objects[name]

    def _owned(self, owner: Object) -> list[Object]:
        by = {"kind": owner["kind"], "name": owner["metadata"]["name"]}
        return [r for r in self.of_kind("replicaset") if r["metadata"]["ownerReferences"] == [by]]

    def _analyse(self, rollout: Object) -> None:
        """First some pods of the new template, then all; back where `slow` is seen."""
        deployment, status = self.objects["deployment/web"], rollout.setdefault("status", {})
        asked = rollout["spec"].setdefault("replicas", 1)
        own = self._replicaset(rollout, deployment["spec"]["template"])
        name, stable = own["metadata"]["name"], status.get("stable")
        if status.get("seen") != name:
            status |= {"seen": name, "phase": "Progressing", "abort": False}
            own["status"]["ticks"] = 0
        generation = deployment["metadata"]["generation"]
        status["workloadObservedGeneration"] = str(generation)
        if status["abort"]:
            return
        if stable and name != stable and "slow" in image(own["spec"]["template"]):
            if is_late(own, 3):
                own["status"] = {"readyReplicas": 0}
                status |= {"phase": "Degraded", "abort": True, "message": "metric p95 failed"}
            else:
                own["status"]["readyReplicas"] = 1
        elif self._is_back(rollout, name) or is_late(own, 3):
            for old in self._owned(rollout):
                old["status"]["readyReplicas"] = asked if old is own else 0
            if name != stable:
                status["promoted"] = [name, *status.get("promoted", ())]
            status |= {"phase": "Healthy", "stable": name}
            if deployment["spec"].get("replicas", 1):
                change(deployment, {"spec": {"replicas": 0}})
                status["workloadObservedGeneration"] = str(deployment["metadata"]["generation"])

    def _is_back(self, rollout: Object, name: str) -> bool:
        """What was aborted, or ran before and not too long ago, goes no steps."""
        status, window = rollout["status"], rollout["spec"].get("rollbackWindow", {})
        recent = status.get("promoted", [])[: window.get("revisions", 0)]
        return name in (status.get("stable"), *recent)

    # Whom traffic reaches.

    def served(self) -> list[Object]:
        wanted = self.objects.get("service/web", {}).get("spec", {}).get("selector", {"": ""})
        return [
            pods
            for pods in self.of_kind("replicaset")
            if wanted.items() <= pods["spec"]["template"]["metadata"]["labels"].items()
            and pods["status"]["readyReplicas"]
        ]

    def check(self) -> None:
        """Never fewer pods than served and are enough; never a colour that nobody has tried."""
        served = self.served()
        ready = sum(pods["status"]["readyReplicas"] for pods in served)
        if ready < self.kept.get("least", 0):
            raise Broken(f"{ready} pods serve, {self.kept['least']} did")
        autoscaler = self.objects.get("horizontalpodautoscaler/web", {"spec": {}})
        enough = autoscaler["spec"].get("minReplicas", 1)
        self.kept["least"] = min(max(self.kept.get("least", 0), ready), enough)
        names = [pods["metadata"]["name"] for pods in served]
        untried = [
            n for n in names if n.startswith(("web-blue", "web-green")) and n not in self.tried
        ]
        if untried and len(names) > len(untried):
            raise Broken(f"traffic reaches {untried}, which nobody has tried")


def is_late(thing: Object, ticks: int) -> bool:
    status = thing.setdefault("status", {})
    status["ticks"] = status.get("ticks", 0) + 1
    return bool(status["ticks"] >= ticks)


def image(template: Object) -> str:
    return str(template["spec"]["containers"][0]["image"])


def change(thing: Object, patch: Object) -> None:
    before = copy.deepcopy(thing.get("spec"))
    merge(thing, patch)
    if thing.get("spec") != before:
        thing["metadata"]["generation"] = thing["metadata"].get("generation", 0) + 1


def merge(into: Object, patch: Object) -> None:
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            if not isinstance(into.get(key), dict):
                into[key] = {}
            merge(into[key], value)
        else:
            into[key] = value


def without(former: Object, wanted: Object) -> Object:
    """A patch that takes away what was applied and is not wanted any more."""
    gone: Object = {}
    for key, value in former.items():
        if key not in wanted:
            gone[key] = None
        elif isinstance(value, dict) and isinstance(wanted[key], dict):
            gone[key] = without(value, wanted[key])
    return gone


class Kubectl:
    """One call."""

    def __init__(self, cluster: Cluster, stdin: str) -> None:
        self.cluster, self._stdin = cluster, stdin

    def __call__(self, verb: str, *given: str) -> str:
        verbs = ("get", "apply", "patch", "scale", "delete", "exec", "logs", "rollout", "wait")
        if verb not in verbs:
            raise Error(f'error: unknown command "{verb}" for "kubectl"')
        options = [one for one in given if one.startswith("--")]
        told: str = getattr(self, f"_{verb}")([o for o in given if o not in options], options)
        self.cluster.check()
        return told

    def _get(self, names: list[str], options: list[str]) -> str:
        """As it is before the controllers have heard of what was changed last."""
        assert "--output=json" in options
        told = json.dumps(self._found(names))
        self.cluster.tick()
        return told

    def _found(self, names: list[str]) -> Object:
        if "/" in names[0]:
            items = [self.cluster.objects[n] for n in names if n in self.cluster.objects]
            return items[0] if len(names) == len(items) == 1 else {"items": items}
        items = []
        for kind in names[0].split(","):
            if kind in KINDS and not self.cluster.of_kind(KINDS[kind]):
                raise Error(f'error: the server doesn\'t have a resource type "{kind}"')
            items += self.cluster.of_kind(KINDS.get(kind, kind.removesuffix("s")))
        return {"items": items}

    def _apply(self, _: list[str], options: list[str]) -> str:
        assert options == ["--filename=-"]
        for wanted in map(json.loads, self._stdin.split("---\n")[1:]):
            name = f"{wanted['kind'].lower()}/{wanted['metadata']['name']}"
            if name not in self.cluster.objects:
                own = {"name": wanted["metadata"]["name"]}
                self.cluster.add({"kind": wanted["kind"], "metadata": own})
            self._make(self.cluster.objects[name], wanted)
        return "applied"

    def _make(self, found: Object, wanted: Object) -> None:
        was = json.loads(found["metadata"].get("annotations", {}).get(APPLIED, "{}"))
        fixed = {"Job": "template", "Deployment": "selector"}.get(wanted["kind"])
        if fixed and was and was["spec"][fixed] != wanted["spec"][fixed]:
            raise Error(f"The {wanted['kind']} is invalid: spec.{fixed}: field is immutable")
        change(found, without(was, wanted))
        change(found, copy.deepcopy(wanted))
        found["metadata"].setdefault("annotations", {})[APPLIED] = json.dumps(wanted)

    def _patch(self, names: list[str], options: list[str]) -> str:
        assert "--type=merge" in options
        patch = json.loads(options[-1].removeprefix("--patch="))
        assert ("status" in patch) == ("--subresource=status" in options)
        thing = self.cluster.find(names[0])
        colour = patch.get("spec", {}).get("selector", {}).get("colour")
        if colour and not is_ready(self.cluster.find(f"deployment/web-{colour}")):
            raise Broken(f"traffic is switched to {colour}, which is not ready")
        if "status" in patch:
            self.cluster.find(f"replicaset/{thing['status']['seen']}")["status"]["ticks"] = 0
        change(thing, patch)
        return "patched"

    def _scale(self, names: list[str], options: list[str]) -> str:
        replicas = int(options[0].removeprefix("--replicas="))
        change(self.cluster.find(names[0]), {"spec": {"replicas": replicas}})
        self._settle()
        return "scaled"

    def _settle(self) -> None:
        """Pods go at once when nobody wants them."""
        for deployment in self.cluster.of_kind("deployment"):
            if deployment["spec"].get("replicas") == 0:
                self.cluster._roll(deployment)  # noqa: SLF001

    def _delete(self, names: list[str], options: list[str]) -> str:
        for name in names:
            if "--ignore-not-found" not in options:
                self.cluster.find(name)
            self.cluster.objects.pop(name, None)
        return "deleted"

    def _exec(self, names: list[str], _: list[str]) -> str:
        assert names[1:3] == ["python", "-"], names
        compile(self._stdin, "stdin", "exec")
        deployment = self.cluster.find(names[0])
        if not is_ready(deployment):
            raise Error("error: unable to upgrade connection: container not found")
        if "odd" in image(deployment["spec"]["template"]):
            raise Error(
                "/health, /ready and a stranger got [200, 200, 500]\ncommand terminated with 1"
            )
        own = self.cluster._replicaset(deployment, deployment["spec"]["template"])  # noqa: SLF001
        self.cluster.tried.append(own["metadata"]["name"])
        return ""

    def _logs(self, names: list[str], _: list[str]) -> str:
        return f"the last words of {names[0]}\n"

    def _rollout(self, names: list[str], _: list[str]) -> str:
        assert names[0] == "status"
        return self._until(lambda: is_ready(self.cluster.find(names[1])))

    def _wait(self, names: list[str], options: list[str]) -> str:
        def holds() -> bool:
            status = self.cluster.find(names[0])["status"]
            types = {found["type"].lower() for found in status.get("conditions", ())}
            phase = "--for=jsonpath={.status.phase}=" + str(status.get("phase"))
            return options[0] == phase or options[0].removeprefix("--for=condition=") in types

        return self._until(holds)

    def _until(self, holds: Any) -> str:
        for _ in range(TICKS):
            self.cluster.tick()
            if holds():
                return "it is so\n"
        raise Error("error: timed out waiting for the condition")


def is_ready(deployment: Object) -> bool:
    status, asked = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    is_seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return bool(
        is_seen and asked == status.get("updatedReplicas") == status.get("availableReplicas")
    )


def call(cluster: Cluster, command: tuple[str, ...], stdin: str) -> str:
    """What it says to this; the cluster is then as it is afterwards."""
    given = iter(command[1:])
    context, namespace = next(given), next(given)
    if context != f"--context={CONTEXT}":
        raise Error(f'error: context "{context.partition("=")[2]}" does not exist')
    assert namespace.startswith("--namespace="), namespace
    return Kubectl(cluster, stdin)(*given)


def main() -> str:
    if sys.argv[1] == "kustomize":
        own = str(Path(sys.argv[0]).parent)
        others = [part for part in os.environ["PATH"].split(os.pathsep) if part != own]
        real = shutil.which("kubectl", path=os.pathsep.join(others))
        return subprocess.run([str(real), *sys.argv[1:]], check=True, stdout=-1, text=True).stdout
    file = Path(os.environ["CLUSTER"])
    cluster = Cluster(json.loads(file.read_text()) if file.exists() else {})
    told = call(cluster, ("kubectl", *sys.argv[1:]), sys.stdin.read())
    writes = cluster.kept["writes"] = cluster.kept.get("writes", 0) + (sys.argv[3] in WRITES)
    file.write_text(json.dumps(cluster.kept))
    if os.environ.get("KILL_AFTER") == str(writes):
        os.kill(os.getppid(), signal.SIGKILL)
    return told


if __name__ == "__main__":
    try:
        sys.stdout.write(main())
    except Error as error:
        sys.exit(str(error))

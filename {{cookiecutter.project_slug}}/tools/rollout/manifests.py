"""Rendered objects as data: of a release, a colour, a lane. What is given stays as it is."""

import copy
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from . import Object, Refused
from .cluster import TRACKS, VERSION, Cluster, at, key, release_of
from .conditions import is_of
from .environment import Image

PROCESSES = ("web", "worker", "scheduler")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Manifests:
    """What the overlay of an environment says, for one image."""

    def __init__(self, rendered: Iterable[Object], image: Image) -> None:
        self._objects = Cluster(tuple(_of(image, thing) for thing in rendered))
        self.release = image.release
        self.deployments = {name: self.find(f"deployment/{name}") for name in PROCESSES}
        for name, deployment in self.deployments.items():
            if not is_of(deployment, image.reference):
                raise Refused(f"the overlay's Deployment {name} runs no {image.name}: say it there")
        jobs = self._objects.of_kind("job")
        self._jobs = [job for job in jobs if key(job).startswith("job/migrate-")]
        autoscaler = self._objects.find("horizontalpodautoscaler/web")
        self.autoscaler = key(autoscaler) if autoscaler else ""

    def find(self, wanted: str) -> Object:
        if (found := self._objects.find(wanted)) is None:
            raise Refused(
                f"the overlay has no {wanted}: add what makes it to its kustomization.yaml"
            )
        return found

    @property
    def job(self) -> Object:
        """The migration, named after the release."""
        if not self._jobs:
            raise Refused("the overlay has no Job migrate-…: without it nothing makes the schema")
        job = copy.deepcopy(self._jobs[0])
        job["metadata"]["name"] = f"migrate-{re.sub('[^a-z0-9-]', '-', self.release.lower())}"
        job["spec"].setdefault("ttlSecondsAfterFinished", 86400)
        return job

    def rest(self, *, canary: bool) -> list[Object]:
        """What is neither a process nor the migration; of Argo's kinds where they are known."""
        apart = {"rollout/web", *map(key, (*self.deployments.values(), *self._jobs))}
        return [
            thing
            for thing in self._objects.objects
            if key(thing) not in apart
            and (canary or not thing["apiVersion"].startswith("argoproj.io/"))
        ]


def _of(image: Image, thing: Object) -> Object:
    """With this image wherever the environment's stands, and the release as a label there."""
    made = copy.deepcopy(thing)
    for container in at(made, "spec", "template", "spec", "containers") or ():
        if re.sub("(:[^/:@]+)?(@.+)?$", "", container["image"]) == image.name:
            container["image"] = image.reference
            for metadata in (made["metadata"], made["spec"]["template"]["metadata"]):
                metadata["labels"] = (at(metadata, "labels") or {}) | {VERSION: image.release}
    return made


def coloured(deployment: Object, colour: str, replicas: int) -> Object:
    """A Deployment of its own; what it was made of is noted, to be known again."""
    made = copy.deepcopy(deployment)
    made["metadata"]["name"] += f"-{colour}"
    made["spec"]["replicas"] = replicas
    metadata = made["spec"]["template"]["metadata"]
    noted = at(metadata, "annotations") or {}
    metadata["annotations"] = noted | {"template": fingerprint(deployment)}
    for labels in (made["spec"]["selector"]["matchLabels"], metadata["labels"]):
        labels["colour"] = colour
    return made


def uncounted(deployment: Object) -> Object:
    """Without a number of pods: what there are stay."""
    return deployment | {"spec": {k: v for k, v in deployment["spec"].items() if k != "replicas"}}


def fingerprint(deployment: Object | None) -> str:
    """Of what its pods are: as it was noted, or counted."""
    template = at(deployment, "spec", "template")
    if noted := at(template, "metadata", "annotations", "template"):
        return str(noted)
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:12]


def laned(thing: Object, lane: str) -> Object:
    """The same, with one pod, under the lane's name, wherever a lane is said."""
    made: Object = _told(thing, lane)
    made["metadata"]["name"] += f"-{lane}"
    made["metadata"].setdefault("labels", {})["lane"] = lane
    if thing["kind"] == "Deployment":
        made["spec"]["replicas"] = 1
    return made


def _told(thing: Any, lane: str) -> Any:
    if isinstance(thing, dict):
        return {k: lane if k == "lane" else _told(part, lane) for k, part in thing.items()}
    return [_told(part, lane) for part in thing] if isinstance(thing, list) else thing


def aimed(thing: Object, now: Cluster) -> Object:
    """An autoscaler goes on to count for what it counts for now."""
    target = at(now.find(key(thing)), "spec", "scaleTargetRef")
    return thing | {"spec": thing["spec"] | {"scaleTargetRef": target}} if target else thing


def remembered(process: str, release: str, now: Cluster) -> Object:
    """The Deployment as it was last applied, with the pods that the release had."""
    names = (now.serving, *TRACKS) if process == "web" else (process,)
    found = [old for old in now.replicasets(names) if release_of(old) == release]
    live = [now.find(f"deployment/{name}") for name in names]
    applied = [text for was in live if (text := at(was, "metadata", "annotations", LAST_APPLIED))]
    if not found or not applied:
        raise Refused(f"no ReplicaSet of {process} is of release {release!r}: release its image")
    made: Object = json.loads(applied[0])
    made["metadata"]["name"] = process
    made["spec"]["selector"]["matchLabels"].pop("colour", None)
    made["spec"]["template"] = template = copy.deepcopy(found[-1]["spec"]["template"])
    for label in ("pod-template-hash", "colour"):
        template["metadata"]["labels"].pop(label, None)
    return made

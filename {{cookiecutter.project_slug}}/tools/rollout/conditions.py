"""What steps wait for and insist on, as it is read from objects."""

from . import Object
from .cluster import TRACKS, Cluster, at
from .plan import Condition

Seen = Object | None


def rolled_out(name: str, *, least: int = 0) -> Condition:
    thing = f"deployment/{name}"
    return Condition(
        (thing,),
        f"{thing} is rolled out and ready",
        lambda now: is_rolled_out(now, name) and now.replicas(thing) >= least,
        lambda now: _told(now.find(thing), "Progressing", "False"),
        ("rollout", "status", thing),
    )


def is_rolled_out(now: Cluster, name: str) -> bool:
    """All pods that are asked for are of the present template and ready, and no other is left."""
    found = now.find(f"deployment/{name}")
    kinds = ("replicas", "updatedReplicas", "availableReplicas")
    pods = {at(found, "status", kind) or 0 for kind in kinds}
    return _is_observed(found) and pods == {now.replicas(f"deployment/{name}")}


def migrated(name: str, image: str) -> Condition:
    thing = f"job/{name}"

    def is_complete(now: Cluster) -> bool:
        return is_of(now.find(thing), image) and bool(_told(now.find(thing), "Complete"))

    return Condition(
        (thing,),
        f"{thing} is complete, with this image",
        is_complete,
        lambda now: failure(now.find(thing)),
        ("wait", "--for=condition=complete", thing),
    )


def is_of(thing: Seen, image: str) -> bool:
    containers = at(thing, "spec", "template", "spec", "containers") or ()
    return any(container["image"] == image for container in containers)


def failure(job: Seen) -> str:
    return _told(job, "Failed")


def promoted() -> Condition:
    """The Rollout has seen the Deployment as it is now, and is healthy with it."""

    def phase(now: Cluster) -> str:
        status = at(now.find("rollout/web"), "status") or {}
        generation = at(now.find("deployment/web"), "metadata", "generation")
        is_seen = str(status.get("workloadObservedGeneration")) == str(generation)
        return str(status.get("phase")) if is_seen else ""

    def aborted(now: Cluster) -> str:
        said = at(now.find("rollout/web"), "status", "message")
        return f"aborted, the stable pods serve: {said}" if phase(now) == "Degraded" else ""

    return Condition(
        ("deployment/web", "rollout/web"),
        "rollout/web is promoted and healthy",
        lambda now: phase(now) == "Healthy",
        aborted,
        ("wait", "--for=jsonpath={.status.phase}=Healthy", "rollout/web"),
    )


def points_to(colour: str | None) -> Condition:
    says = f"service/web points to {colour or 'no colour alone'}"
    return Condition(("service/web",), says, lambda now: now.colour == colour and not now.is_pinned)


def spared(name: str) -> Condition:
    """Another serves, and can."""

    def is_spared(now: Cluster) -> bool:
        ready = at(now.find(f"deployment/{now.serving}"), "status", "availableReplicas")
        return now.serving != name and bool(ready)

    return Condition(SERVING, f"service/web points to ready pods that are not of {name}", is_spared)


def stays(name: str) -> Condition:
    """It serves; not any more once traffic goes elsewhere. An autoscaler may add pods meanwhile."""
    thing = f"deployment/{name}"

    def is_steady(now: Cluster) -> bool:
        ready = at(now.find(thing), "status", "availableReplicas") or 0
        return now.serving == name and bool(2 * ready >= now.replicas(thing) > 0)

    return Condition(
        SERVING,
        f"service/web points to {name}, and most of its pods are ready",
        is_steady,
        lambda now: "" if now.serving == name else f"service/web points to {now.serving} now",
    )


SERVING = ("service/web", *(f"deployment/{track}" for track in TRACKS))


def _is_observed(thing: Seen) -> bool:
    seen = at(thing, "status", "observedGeneration")
    return seen is not None and bool(seen == at(thing, "metadata", "generation"))


def _told(thing: Seen, type_: str, status: str = "True") -> str:
    """Why a condition of the object has this status; empty where it has not, or is of before."""
    if at(thing, "status", "observedGeneration") not in (None, at(thing, "metadata", "generation")):
        return ""
    for found in at(thing, "status", "conditions") or ():
        if (found["type"], found["status"]) == (type_, status):
            return f"{found.get('reason', type_)}: {found.get('message', '')}".strip(": ")
    return ""

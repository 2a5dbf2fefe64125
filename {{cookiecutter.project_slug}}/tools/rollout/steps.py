"""The steps that strategies are made of."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from . import Object
from .cluster import Cluster, Memory, at, key, release_of
from .conditions import (
    failure,
    is_of,
    migrated,
    points_to,
    promoted,
    rolled_out,
    spared,
    stays,
)
from .plan import Condition, Step, apply, patch

PROBE = Path(__file__).with_name("probe.py")
ROLL, MIGRATE, ANALYSE = 900, 1800, 3600


def note(does: str, memory: Memory) -> Step:
    name = "begin" if memory.releasing or memory.going_back_to else "finish"
    return patch(name, does, "service/web", {"metadata": {"annotations": memory.annotations()}})


def migration(job: Object, now: Cluster) -> Iterator[Step]:
    """A Job can't be changed: one that failed, or was of another image, makes room."""
    thing, image = key(job), job["spec"]["template"]["spec"]["containers"][0]["image"]
    name = job["metadata"]["name"]
    found = now.find(thing)
    if found and (failure(found) or not is_of(found, image)):
        yield Step(
            "clear", f"remove {name}, which failed or is of another image", ("delete", thing)
        )
    done = migrated(name, image)
    does = "bring the schema to what the release needs; the one before runs on it too"
    yield apply("migrate", does, job, done=done, until=done, seconds=MIGRATE)


def roll(deployment: Object) -> Step:
    name = deployment["metadata"]["name"]
    does = f"{name} becomes {release_of(deployment)}, pod by pod"
    return apply(name, does, deployment, until=rolled_out(name), seconds=ROLL)


def scale(thing: str, replicas: int, until: Condition) -> Step:
    arguments = ("scale", thing, f"--replicas={replicas}")
    return Step("scale", "as many pods as serve now", arguments, until=until, seconds=ROLL)


def retire(name: str) -> Step:
    thing = f"deployment/{name}"
    return Step(
        "retire",
        f"{name} has no pods any more, and is still there to go back to",
        ("scale", thing, "--replicas=0"),
        done=Condition((thing,), f"{thing} has none", lambda now: now.replicas(thing) == 0),
        needs=spared(name),
    )


def leave(names: Sequence[str], name: str, *, seconds: int, now: Cluster) -> Iterator[Step]:
    """What served before is kept for a while, then scaled down."""
    if seconds and any(now.replicas(f"deployment/{former}") for former in names):
        does = f"the former pods stay up for {seconds} s, while {name} has to stay ready"
        yield Step("keep", does, until=stays(name), hold=seconds, seconds=seconds + ROLL)
    yield from map(retire, names)


def pin(now: Cluster) -> Step:
    """A colour's pods carry all that Service web looks for; until it is tried, it looks closer."""
    serving = max(now.replicasets(["web"]), key=lambda old: at(old, "status", "readyReplicas") or 0)
    label = {"pod-template-hash": serving["metadata"]["labels"]["pod-template-hash"]}
    does = "traffic stays with the pods that serve now, whatever else comes up"
    return patch("pin", does, "service/web", {"spec": {"selector": label}})


def point(colour: str | None) -> Step:
    name = f"web-{colour}" if colour else "web"
    return patch(
        "switch",
        f"all traffic goes to {name}",
        "service/web",
        {"spec": {"selector": {"colour": colour, "pod-template-hash": None}}},
        done=points_to(colour),
        needs=rolled_out(name, least=1),
    )


def aim(autoscaler: str, target: Object) -> Iterator[Step]:
    """What counts the pods of web counts these."""
    is_aimed = Condition(
        (autoscaler,),
        f"{autoscaler} scales {target['name']}",
        lambda now: at(now.find(autoscaler), "spec", "scaleTargetRef") == target,
    )
    change = {"spec": {"scaleTargetRef": target}}
    does = f"scale {target['kind']} {target['name']} from now on"
    if autoscaler:
        yield patch("aim", does, autoscaler, change, done=is_aimed)


def smoke(name: str, host: str) -> Step:
    return Step(
        "smoke",
        f"{name} answers as it should, before anybody is routed to it",
        ("exec", "--stdin", f"deployment/{name}", "--", "python", "-", host),
        stdin=PROBE.read_text(),
        given="tools/rollout/probe.py",
    )


def analyse(rollout: Object | None) -> Step:
    """Where the Rollout stays as it is, it is only waited for."""
    does = "a few requests go there, then more, then all, as the analysis allows"
    if not rollout:
        return Step("canary", does, until=promoted(), seconds=ANALYSE)
    return apply("canary", does, rollout, until=promoted(), seconds=ANALYSE)


def retry() -> Step:
    change = {"status": {"abort": False}}
    does = "the analysis, which turned it back, begins anew"
    return patch("retry", does, "rollout/web", change, "--subresource=status")

"""Lanes: another image beside the default one, for requests with `tracestate: ctx=lane:NAME`."""

from collections.abc import Iterator

from . import Object
from .cluster import Cluster, at, release_of
from .manifests import Manifests, laned
from .plan import Step, apply
from .steps import migration, roll

HEADER = r"^(.*,)?\s*ctx=lane:{}\s*(,.*)?$"


def add(lane: str, made: Manifests, now: Cluster) -> Iterator[Step]:
    """Nothing is routed there before it is ready."""
    settings = [thing for thing in made.rest(canary=False) if thing["kind"] == "ConfigMap"]
    route = routed(made.find("httproute/web"), lane)
    yield apply("settings", "the settings that its pods read", *settings)
    yield from migration(made.job, now)
    yield roll(laned(made.deployments["worker"], lane))
    yield roll(laned(made.deployments["web"], lane))
    yield apply("service", f"web-{lane} is reached", laned(made.find("service/web"), lane))
    yield apply("route", f"requests of lane {lane} go there, all others where they went", route)


def remove(lane: str) -> Iterator[Step]:
    """Traffic first: requests of the lane go to the default one, and so do its sessions."""
    parts = {
        "route": (f"httproute/web-{lane}",),
        "web": (f"service/web-{lane}", f"deployment/web-{lane}"),
        "worker": (f"deployment/worker-{lane}",),
    }
    for name, things in parts.items():
        gone = ("delete", *things, "--ignore-not-found")
        yield Step(name, f"remove {' and '.join(things)}", gone)


def routed(route: Object, lane: str) -> Object:
    """The route of the default lane, for requests that name this one: the closer match wins."""
    made = laned(route, lane)
    pattern = {"type": "RegularExpression", "name": "tracestate", "value": HEADER.format(lane)}
    for rule in made["spec"]["rules"]:
        for match in rule.setdefault("matches", [{}]):
            match["headers"] = [*match.get("headers", ()), pattern]
        for backend in rule["backendRefs"]:
            backend["name"] += f"-{lane}"
    return made


def listed(now: Cluster) -> Iterator[str]:
    """A line for each: its name, release, ready pods."""
    for web in now.of_kind("deployment"):
        lane = at(web, "metadata", "labels", "lane") or "default"
        if lane != "default" and web["metadata"]["name"] == f"web-{lane}":
            worker = now.find(f"deployment/worker-{lane}")
            ready = [at(thing, "status", "readyReplicas") or 0 for thing in (web, worker)]
            yield f"{lane:16} {release_of(web):16} {ready[0]} web, {ready[1]} worker ready"

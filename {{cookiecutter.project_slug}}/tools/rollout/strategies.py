"""Rolling, blue-green, canary: the steps from what the cluster has to what is wanted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import Object, Refused
from .cluster import COLOURS, TRACKS, Cluster, Memory, at, release_of
from .conditions import promoted, rolled_out
from .manifests import PROCESSES, Manifests, aimed, coloured, fingerprint, remembered, uncounted
from .plan import Step, apply
from .steps import (
    aim,
    analyse,
    leave,
    migration,
    note,
    pin,
    point,
    retire,
    retry,
    roll,
    scale,
    smoke,
)

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
ROLLOUT = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web"}


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to run, how it is tried, and for how many seconds the former colour is kept."""

    release: str
    deployments: Mapping[str, Object]
    autoscaler: str
    host: str
    rollout: Object | None = None
    keep: int = 0


def release(strategy: str, made: Manifests, now: Cluster, **how: Any) -> list[Step]:
    """Forwards, to an image."""
    refuse_to_leave(strategy, now)
    is_canary = strategy == "canary"
    rest = [aimed(thing, now) for thing in made.rest(canary=is_canary)]
    change = Change(
        release=made.release,
        deployments=made.deployments,
        autoscaler=made.autoscaler,
        rollout=made.find("rollout/web") if is_canary else None,
        **how,
    )
    steps = [apply("settings", "all that is not a process: settings, Service, policies", *rest)]
    steps += migration(made.job, now)
    begun = note(f"note that {made.release} has begun", begins(made.release, now))
    steps.insert(0 if now.find("service/web") else 1, begun)
    steps += STRATEGIES[strategy](change, now)
    steps += [note(f"note that {made.release} runs", now.memory.with_finished(made.release))]
    return pending(steps, now)


def begins(release: str, now: Cluster) -> Memory:
    return Memory(now.memory.releases, releasing=release)


def rollback(target: str, now: Cluster, host: str) -> list[Step]:
    """Back, to pods that the cluster remembers, by the way that it is in; bad ones are not kept."""
    autoscaler = "horizontalpodautoscaler/web"
    change = Change(
        release=target,
        deployments={process: remembered(process, target, now) for process in PROCESSES},
        autoscaler=autoscaler if now.find(autoscaler) else "",
        host=host,
    )
    begun = now.memory.going_back(target)
    steps = [note(f"note that this goes back to {target}", begun)]
    steps += STRATEGIES[strategy_of(now)](change, now)
    steps += [note(f"note that {target} runs", begun.back_at(target))]
    return pending(steps, now)


def pending(steps: list[Step], now: Cluster) -> list[Step]:
    return [step for step in steps if not (step.done and step.done.holds(now))]


def strategy_of(now: Cluster) -> str:
    if now.find("rollout/web"):
        return "canary"
    return "blue-green" if now.colour else "rolling"


def refuse_to_leave(strategy: str, now: Cluster) -> None:
    here = strategy_of(now)
    is_coloured = bool(now.colour) or now.is_pinned
    if (here == "canary") != (strategy == "canary") and (here == "canary" or is_coloured):
        raise Refused(f"strategy {strategy!r} can't follow {here!r}: docs/releasing.md has the way")


def rolling(change: Change, now: Cluster) -> Iterator[Step]:
    colours = TRACKS[1:]
    if now.colour or now.is_pinned:
        yield from (retire(name) for name in colours if name != now.serving)
    if now.is_pinned:
        yield point(None)
    yield roll(change.deployments["web"])
    if now.colour:
        replicas = now.replicas(f"deployment/{now.serving}")
        yield scale("deployment/web", replicas, rolled_out("web"))
        yield point(None)
    yield from aim(change.autoscaler, TARGET)
    yield from workers(change)
    if not now.is_pinned:
        former = (now.serving,) if now.colour else colours
        yield from leave(former, "web", seconds=change.keep, now=now)


def blue_green(change: Change, now: Cluster) -> Iterator[Step]:
    wanted = change.deployments["web"]
    serving = now.find(f"deployment/{now.serving}")
    is_live = bool(now.colour) and fingerprint(serving) == fingerprint(wanted)
    colour = now.colour if is_live else COLOURS[now.colour == COLOURS[0]]
    name = f"web-{colour}"
    others = [track for track in TRACKS if track != name]
    if not is_live:
        if not now.colour and not now.is_pinned and now.replicas("deployment/web"):
            yield pin(now)
        size = max(now.replicas(f"deployment/{now.serving}"), wanted["spec"].get("replicas", 1))
        yield roll(coloured(wanted, str(colour), size))
        yield smoke(name, change.host)
    yield point(colour)
    yield from aim(change.autoscaler, TARGET | {"name": name})
    yield from workers(change)
    yield from leave(others, name, seconds=change.keep, now=now)


def canary(change: Change, now: Cluster) -> Iterator[Step]:
    """Deployment web only tells the Rollout what its pods are: it has none of its own."""
    web, told = uncounted(change.deployments["web"]), release_of(now.find("deployment/web"))
    yield from aim(change.autoscaler, ROLLOUT)
    if change.rollout and (replicas := now.replicas("deployment/web")):
        yield apply("adopt", "the Rollout takes over the pods that serve", change.rollout)
        yield scale("rollout/web", max(replicas, now.replicas("rollout/web")), promoted())
    yield apply("web", f"the Rollout is told of {change.release}", web)
    if at(now.find("rollout/web"), "status", "abort") and told == change.release:
        yield retry()
    yield analyse(change.rollout)
    yield from workers(change)


def workers(change: Change) -> Iterator[Step]:
    """After web: an old worker leaves alone what is newer than itself; web would have to refuse."""
    yield roll(change.deployments["worker"])
    yield roll(change.deployments["scheduler"])


STRATEGIES = {"rolling": rolling, "blue-green": blue_green, "canary": canary}

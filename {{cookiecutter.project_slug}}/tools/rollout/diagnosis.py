"""One page for the night: what runs, what is not ready and why, what happened last."""

from collections.abc import Callable, Iterator

from . import Object
from .cluster import Cluster, at, release_of
from .conditions import failure

KINDS = "deployments,services,jobs,pods,events"
EVENTS, LINES = 8, 6
Logs = Callable[[Object], list[str]]


def page(now: Cluster, logs: Logs) -> Iterator[str]:
    unready = [pod for pod in now.of_kind("pod") if why(pod)]
    yield from _releases(now)
    yield from _titled("services", map(_service(now), now.of_kind("service")))
    yield from _titled("processes", map(_deployment, now.of_kind("deployment")))
    yield from _titled("migrations", map(_job, now.of_kind("job")))
    yield from _titled("not ready", (line for pod in unready for line in _pod(pod, logs)))
    yield from _titled("last warnings", _events(now))


def why(pod: Object) -> str:
    """Why a pod is not ready; empty where it is, or has done what it was there for."""
    states = at(pod, "status", "containerStatuses") or ()
    if at(pod, "status", "phase") == "Succeeded" or (states and all(s["ready"] for s in states)):
        return ""
    told = []
    for state in states:
        waits = at(state, "state", "waiting") or {}
        ended = at(state, "lastState", "terminated") or at(state, "state", "terminated") or {}
        told += [waits.get("reason", ""), waits.get("message", "")] if waits else []
        told += [f"ended with {ended['exitCode']} {ended.get('reason', '')}"] if ended else []
        told += [f"{state['restartCount']} restarts"] if state.get("restartCount") else []
    if not states:
        told += [c.get("message", "") for c in at(pod, "status", "conditions") or ()]
    return ", ".join(part.strip() for part in told if part.strip()) or "it runs, its probe fails"


def is_crashing(pod: Object) -> bool:
    states = at(pod, "status", "containerStatuses") or ()
    return any(
        at(state, "lastState", "terminated") or state.get("restartCount") for state in states
    )


def _titled(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield from ("", title, *(f"  {line}" for line in list(lines) or ["none"]))


def _releases(now: Cluster) -> Iterator[str]:
    memory = now.memory
    yield f"release    {' '.join(memory.releases[-1:]) or 'none that finished'}"
    if begun := memory.going_back_to or memory.releasing:
        yield f"unfinished {'back to ' if memory.going_back_to else ''}{begun}"
    by_name = f", by name: {left} was gone back from" if (left := memory.gone_back_from) else ""
    yield f"back to    {memory.target or 'nothing'}{by_name}"


def _service(now: Cluster) -> Callable[[Object], str]:
    def line(service: Object) -> str:
        wanted = (at(service, "spec", "selector") or {}).items()
        pods = [
            p for p in now.of_kind("pod") if wanted <= (p["metadata"].get("labels") or {}).items()
        ]
        ready = sum(not why(pod) for pod in pods)
        chosen = ", ".join(f"{name.rpartition('/')[2]}={value}" for name, value in wanted)
        return f"{service['metadata']['name']:14} {ready}/{len(pods)} pods ready  {chosen}"

    return line


def _deployment(thing: Object) -> str:
    ready, asked = at(thing, "status", "readyReplicas") or 0, at(thing, "spec", "replicas")
    images = [c["image"] for c in at(thing, "spec", "template", "spec", "containers") or ()]
    name = thing["metadata"]["name"]
    return f"{name:14} {ready}/{asked} ready  {release_of(thing)}  {' '.join(images)}"


def _job(job: Object) -> str:
    is_done = at(job, "status", "succeeded")
    return f"{job['metadata']['name']:24} {failure(job) or ('complete' if is_done else 'running')}"


def _pod(pod: Object, logs: Logs) -> Iterator[str]:
    yield f"{pod['metadata']['name']}: {why(pod)}"
    yield from (f"  | {line}" for line in (logs(pod) if is_crashing(pod) else [])[-LINES:])


def _events(now: Cluster) -> Iterator[str]:
    warnings = [event for event in now.of_kind("event") if event.get("type") == "Warning"]
    for event in sorted(warnings, key=lambda event: str(event.get("lastTimestamp")))[-EVENTS:]:
        about = at(event, "involvedObject", "name")
        yield f"{event.get('lastTimestamp')} {about}: {event.get('reason')}: {event.get('message')}"

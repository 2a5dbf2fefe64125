"""What an engineer sees at three in the morning."""

from typing import Any

from ..kubectl import VERSION, Object
from ..overlay import PART, process, thing
from tools.rollout.cluster import Cluster
from tools.rollout.diagnosis import page, why

AT = "2026-11-21T03:0{}:00Z"


def pod(name: str, *, phase: str = "Running", **state: Any) -> Object:
    labels = {PART: name.partition("-")[0], "lane": "default"}
    states = [{"ready": False, "restartCount": 0} | state] if state else []
    return thing("Pod", name, status={"phase": phase, "containerStatuses": states}) | {
        "metadata": {"name": name, "labels": labels}
    }


GOOD = pod("web-1", ready=True)
CRASHING = pod(
    "web-2",
    restartCount=7,
    state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
    lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
)
PULLING = pod(
    "worker-1", state={"waiting": {"reason": "ImagePullBackOff", "message": "not found: app:c3"}}
)
UNREADY = pod("worker-2", state={"running": {}})
PENDING = thing(
    "Pod",
    "worker-3",
    status={
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "message": "0/3 nodes: insufficient memory"}],
    },
)
DONE = pod("migrate-b2", phase="Succeeded", state={"terminated": {"exitCode": 0}})


def test_each_pod_that_is_not_ready_says_why() -> None:
    assert why(GOOD) == why(DONE) == ""
    assert why(CRASHING) == (
        "CrashLoopBackOff, back-off 5m0s, ended with 137 OOMKilled, 7 restarts"
    )
    assert why(PULLING) == "ImagePullBackOff, not found: app:c3"
    assert why(UNREADY) == "it runs, its probe fails"
    assert why(PENDING) == "0/3 nodes: insufficient memory"


def event(minute: int, kind: str = "Warning") -> Object:
    return thing(
        "Event",
        f"e{minute}",
        type=kind,
        lastTimestamp=AT.format(minute),
        involvedObject={"name": "web-2"},
        reason="BackOff",
        message=f"restarting, {minute}",
    )


def test_the_page_says_what_runs_what_does_not_and_what_was_last() -> None:
    service = thing("Service", "web", spec={"selector": {PART: "web", "lane": "default"}})
    service["metadata"]["annotations"] = {"releases": "a1 b2", "releasing": "c3"}
    web = process("web", replicas=2)
    web["spec"]["template"]["metadata"]["labels"] = {VERSION: "c3"}
    web["status"] = {"readyReplicas": 1}
    failed = [
        {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "x"}
    ]
    jobs = [
        thing("Job", "migrate-b2", status={"succeeded": 1}),
        thing("Job", "migrate-c3", status={"conditions": failed}),
        thing("Job", "migrate-d4", status={}),
    ]
    pods = [GOOD, CRASHING, PULLING, DONE]
    events = [event(2), event(1), event(3, "Normal"), *map(event, range(4, 10)), event(0)]
    asked: list[str] = []

    def logs(pod: Object) -> list[str]:
        asked.append(pod["metadata"]["name"])
        return [f"line {number}" for number in range(50)]

    lines = list(page(Cluster((service, web, *jobs, *pods, *events)), logs))
    assert lines == [
        "release    b2",
        "unfinished c3",
        "back to    b2",
        "",
        "services",
        "  web            1/2 pods ready  name=web, lane=default",
        "",
        "processes",
        "  web            1/2 ready  c3  registry.example.com/app:unreleased",
        "",
        "migrations",
        "  migrate-b2               complete",
        "  migrate-c3               BackoffLimitExceeded: x",
        "  migrate-d4               running",
        "",
        "not ready",
        "  web-2: CrashLoopBackOff, back-off 5m0s, ended with 137 OOMKilled, 7 restarts",
        *(f"    | line {number}" for number in range(44, 50)),
        "  worker-1: ImagePullBackOff, not found: app:c3",
        "",
        "last warnings",
        *(f"  {AT.format(n)} web-2: BackOff: restarting, {n}" for n in (1, 2, *range(4, 10))),
    ]
    assert asked == ["web-2"], "of a pod that never ran there is no log"


def test_of_an_empty_namespace_the_page_says_so() -> None:
    lines = list(page(Cluster(), lambda _: []))
    assert lines[:2] == ["release    none that finished", "back to    nothing"]
    assert lines.count("  none") == 5

"""Releases that fail, are killed, or take too long: what serves, serves on; run again, they end."""

import copy
from pathlib import Path
from typing import Any

import pytest

from ..kubectl import APPLIED, CONTEXT, Broken, Cluster, call, change
from ..overlay import NAME, Desk

BLUE_GREEN = "release staging IMAGE:{} --strategy blue-green --keep 4"
CANARY = "release staging IMAGE:{} --strategy canary"
ROLLING = "release staging IMAGE:{} --keep 4"
WAYS: dict[str, tuple[tuple[str, ...], str]] = {
    "rolling, first": ((), ROLLING.format("a1")),
    "rolling": ((ROLLING.format("a1"),), ROLLING.format("b2")),
    "rolling, back": ((ROLLING.format("a1"), ROLLING.format("b2")), "rollback staging"),
    "blue-green, first": ((), BLUE_GREEN.format("a1")),
    "blue-green": ((BLUE_GREEN.format("a1"),), BLUE_GREEN.format("b2")),
    "blue-green, back": ((BLUE_GREEN.format("a1"), BLUE_GREEN.format("b2")), "rollback staging"),
    "rolling to blue-green": ((ROLLING.format("a1"),), BLUE_GREEN.format("b2")),
    "blue-green to rolling": ((BLUE_GREEN.format("a1"),), ROLLING.format("b2")),
    "canary, first": ((), CANARY.format("a1")),
    "canary": ((CANARY.format("a1"),), CANARY.format("b2")),
    "canary, back": ((CANARY.format("a1"), CANARY.format("b2")), "rollback staging"),
    "rolling to canary": ((ROLLING.format("a1"),), CANARY.format("b2")),
    "lane": ((ROLLING.format("a1"),), "lane add staging beta IMAGE:b2"),
}
OF_THE_MOMENT = {
    "creationTimestamp",
    "generation",
    "observedGeneration",
    "workloadObservedGeneration",
    "ticks",
    "promoted",
    "conditions",
    APPLIED,
}


def lasting(cluster: Cluster) -> dict[str, Any]:
    """What is there in the end, however often it was begun."""

    def kept(thing: Any) -> Any:
        if not isinstance(thing, dict):
            return thing
        return {k: kept(v) for k, v in thing.items() if k not in OF_THE_MOMENT}

    return {
        name: kept(thing)
        for name, thing in cluster.objects.items()
        if not name.startswith("replicaset/") or thing["status"]["readyReplicas"]
    }


@pytest.mark.parametrize("way", WAYS)
def test_a_release_that_is_killed_at_any_moment_comes_to_the_same_end(
    way: str, tmp_path: Path
) -> None:
    """After each call of kubectl; the stand-in looks at each whom traffic reaches."""
    before, line = WAYS[way]
    desk = Desk(tmp_path)
    for earlier in before:
        assert desk.rollout(earlier) == 0
    start = copy.deepcopy(desk.cluster.kept)
    assert not desk.killed(line, 1000)
    moments, end = desk.moments, lasting(desk.cluster)
    assert moments >= 10
    for at in range(1, moments):
        desk.cluster = Cluster(copy.deepcopy(start))
        assert desk.killed(line, at)
        assert desk.rollout(line) == 0, f"killed at {at}"
        assert lasting(desk.cluster) == end, f"killed at {at}"


FAILING = {
    "schema": ("release staging IMAGE:b2-unmigratable", "migrate failed: BackoffLimitExceeded"),
    "pods": ("release staging IMAGE:b2-crashing", "web failed: ProgressDeadlineExceeded"),
    "colour": (BLUE_GREEN.format("b2-crashing"), "web-blue failed: ProgressDeadlineExceeded"),
    "smoke": (BLUE_GREEN.format("b2-odd"), "smoke failed: /health, /ready and a stranger got"),
    "analysis": (CANARY.format("b2-slow"), "canary failed: aborted, the stable pods serve: metric"),
}


@pytest.mark.parametrize("how", FAILING)
def test_a_release_that_fails_says_where_and_why_and_leaves_the_old_one_serving(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, said = FAILING[how]
    desk = Desk(tmp_path)
    desk.rollout(ROLLING.format("a1"))
    capsys.readouterr()
    assert desk.rollout(line) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith(f"rollout: {said}")
    assert err[-2] == f"go on:    python -m tools.rollout {typed(line)}"
    assert err[-1] == "go back:  python -m tools.rollout rollback staging a1"
    assert desk.serves == {"a1"}
    assert desk.rollout(err[-1].partition("rollout ")[2]) == 0
    assert desk.serves == {"a1"}
    assert {release for release, _ in desk.pods().values()} == {"a1"}
    assert desk.remembered() == {"releases": "a1", "gone-back-from": of_line(line)}
    assert desk.rollout(ROLLING.format("c3") if how != "analysis" else CANARY.format("c3")) == 0
    assert desk.serves == {"c3"}
    assert desk.remembered() == {"releases": "a1 c3"}


def test_the_last_words_of_a_migration_that_fails_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    desk.rollout("release staging IMAGE:a1-unmigratable")
    said, log, go_on = capsys.readouterr().err.splitlines()
    assert said == "rollout: migrate failed: BackoffLimitExceeded: Job has failed too often"
    assert log == "  | the last words of job/migrate-a1-unmigratable"
    assert go_on.startswith("go on: "), "there is nothing to go back to"


def test_a_colour_that_is_gone_before_the_switch_gets_no_traffic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    desk.rollout(BLUE_GREEN.format("a1"))
    capsys.readouterr()

    def scale_down(cluster: Cluster) -> None:
        if "switch" in capsys.readouterr().out:
            change(cluster.find("deployment/web-green"), {"spec": {"replicas": 0}})

    desk.before_call = scale_down
    assert desk.rollout(BLUE_GREEN.format("b2")) == 1
    assert "switch failed: not done, for it is only done if deployment/web-green is rolled" in (
        capsys.readouterr().err
    )
    assert desk.serves == {"a1"}


def test_a_colour_that_somebody_went_back_to_is_not_scaled_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    desk.rollout(BLUE_GREEN.format("a1"))

    def switch_back(cluster: Cluster) -> None:
        if "keep" in capsys.readouterr().out:
            cluster.find("service/web")["spec"]["selector"]["colour"] = "blue"

    desk.before_call = switch_back
    assert desk.rollout(BLUE_GREEN.format("b2")) == 1
    assert "keep failed: service/web points to web-blue now" in capsys.readouterr().err
    assert desk.pods()["Deployment web-blue"] == ("a1", 2)


def test_the_old_colour_is_kept_for_as_long_as_is_said(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.rollout(BLUE_GREEN.format("a1"))
    began = desk.seconds
    desk.rollout("release staging IMAGE:b2 --strategy blue-green --keep 500")
    assert 500 <= desk.seconds - began < 530
    assert desk.pods()["Deployment web-green"] == ("b2", 2)
    assert "Deployment web-blue" not in desk.pods()


@pytest.mark.parametrize(("ready", "code"), [(2, 0), (1, 1)])
def test_an_autoscaler_at_work_does_not_end_a_release_and_pods_that_die_do(
    ready: int, code: int, tmp_path: Path
) -> None:
    """It goes by what is asked for: of four pods, two are ready, or one."""
    desk = Desk(tmp_path)
    desk.rollout(BLUE_GREEN.format("a1"))

    def count(cluster: Cluster) -> None:
        if cluster.find("service/web")["spec"]["selector"].get("colour") == "green":
            green = cluster.find("deployment/web-green")
            green["spec"]["replicas"] = green["status"]["replicas"] = 4
            green["status"] |= {"updatedReplicas": 4, "availableReplicas": ready}

    desk.before_call = count
    assert desk.rollout("release staging IMAGE:b2 --strategy blue-green --keep 400") == code


def test_a_wait_ends_when_its_time_is_over_and_a_fault_of_a_moment_does_not_end_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    desk.is_away = lambda: desk.seconds > 0
    assert desk.rollout(ROLLING.format("a1")) == 1
    assert "migrate failed: the server is away, after 1800 s" in capsys.readouterr().err
    assert desk.seconds == pytest.approx(1800, abs=3)
    times = iter(range(10**6))
    desk.is_away = lambda: next(times) > 10 and next(times) % 3 == 0
    assert desk.rollout(ROLLING.format("a1")) == 0
    assert desk.serves == {"a1"}


def test_the_stand_in_sees_traffic_that_goes_where_it_must_not(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.rollout(BLUE_GREEN.format("a1"))
    desk.rollout(BLUE_GREEN.format("b2-odd"))
    kubectl = ("kubectl", f"--context={CONTEXT}", "--namespace=app-staging")
    forgotten = '--patch={"spec": {"selector": {"colour": null}}}'
    for wrong in (
        ("scale", "deployment/web-blue", "--replicas=0"),
        ("patch", "service/web", "--type=merge", forgotten),
        ("delete", "service/web"),
    ):
        cluster = Cluster(copy.deepcopy(desk.cluster.kept))
        with pytest.raises(Broken):
            call(cluster, (*kubectl, *wrong), "")


def of_line(line: str) -> str:
    """Its release."""
    return line.partition("IMAGE:")[2].partition(" ")[0]


def typed(line: str) -> str:
    return line.replace("IMAGE:", f"{NAME}:")

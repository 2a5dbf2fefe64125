"""Plans of releases, whatever the cluster has; and what is refused before there is one."""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ..kubectl import VERSION, Cluster
from ..overlay import NAME, Desk, process, project
from tools.environments import PROJECT
from tools.rollout.__main__ import main
from tools.rollout.cluster import Memory
from tools.rollout.lanes import routed

DIGEST = "sha256:" + "0123456789abcdef" * 4
HTTPROUTE = 7
HISTORY = {
    "nothing": (),
    "rolling": ("release staging IMAGE:a1", "release staging IMAGE:b2"),
    "blue": ("release staging IMAGE:a1 --strategy blue-green",),
    "green": (
        "release staging IMAGE:a1 --strategy blue-green",
        "release staging IMAGE:b2 --strategy blue-green",
    ),
    "bad green": (
        "release staging IMAGE:a1 --strategy blue-green",
        "release staging IMAGE:b2-odd --strategy blue-green",
    ),
    "bad schema": ("release staging IMAGE:a1", "release staging IMAGE:c3-unmigratable"),
    "crashing": ("release staging IMAGE:a1", "release staging IMAGE:b2-crashing"),
    "canary": ("release staging IMAGE:a1", "release staging IMAGE:b2 --strategy canary"),
    "aborted": (
        "release staging IMAGE:a1 --strategy canary",
        "release staging IMAGE:b2-slow --strategy canary",
    ),
}
PLANS = [
    ("nothing", "release IMAGE:c3", "settings begin migrate web aim worker scheduler finish"),
    ("rolling", "release IMAGE:c3", "begin settings migrate web worker scheduler finish"),
    ("rolling", "release IMAGE:b2", "begin settings web worker scheduler finish"),
    ("rolling", "rollback", "begin web worker scheduler finish"),
    ("crashing", "rollback", "begin web worker scheduler finish"),
    (
        "bad schema",
        "release IMAGE:c3-unmigratable",
        "begin settings clear migrate web worker scheduler finish",
    ),
    ("bad schema", "rollback", "begin web worker scheduler finish"),
    (
        "nothing",
        "release IMAGE:c3 --strategy blue-green",
        "settings begin migrate web-blue smoke switch aim worker scheduler finish",
    ),
    (
        "rolling",
        "release IMAGE:c3 --strategy blue-green",
        "begin settings migrate pin web-blue smoke switch aim worker scheduler keep retire finish",
    ),
    (
        "blue",
        "release IMAGE:c3 --strategy blue-green",
        "begin settings migrate web-green smoke switch aim worker scheduler keep retire finish",
    ),
    (
        "green",
        "release IMAGE:c3 --strategy blue-green",
        "begin settings migrate web-blue smoke switch aim worker scheduler keep retire finish",
    ),
    ("green", "release IMAGE:b2 --strategy blue-green", "begin settings worker scheduler finish"),
    ("green", "rollback", "begin web-blue smoke switch aim worker scheduler retire finish"),
    ("bad green", "rollback", "begin worker scheduler retire finish"),
    (
        "green",
        "release IMAGE:c3",
        "begin settings migrate web scale switch aim worker scheduler keep retire finish",
    ),
    (
        "bad green",
        "release IMAGE:c3",
        "begin settings migrate retire web scale switch aim worker scheduler keep retire finish",
    ),
    (
        "nothing",
        "release IMAGE:c3 --strategy canary",
        "settings begin migrate aim web canary worker scheduler finish",
    ),
    (
        "rolling",
        "release IMAGE:c3 --strategy canary",
        "begin settings migrate aim adopt scale web canary worker scheduler finish",
    ),
    (
        "canary",
        "release IMAGE:c3 --strategy canary",
        "begin settings migrate web canary worker scheduler finish",
    ),
    (
        "aborted",
        "release IMAGE:b2-slow --strategy canary",
        "begin settings web retry canary worker scheduler finish",
    ),
    ("canary", "rollback", "begin web canary worker scheduler finish"),
    ("aborted", "rollback", "begin web canary worker scheduler finish"),
    ("rolling", "lane add beta IMAGE:c3", "settings migrate worker-beta web-beta service route"),
    ("rolling", "lane remove beta", "route web worker"),
]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(("has", "asked", "steps"), PLANS)
def test_the_plan_is_what_leads_from_what_the_cluster_has(
    has: str, asked: str, steps: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in HISTORY[has]:
        desk.rollout(line)
    words = asked.split()
    place = 2 if words[0] == "lane" else 1
    desk.calls.clear()
    capsys.readouterr()
    assert desk.rollout(" ".join([*words[:place], "staging", *words[place:], "--dry-run"])) == 0
    assert step_names(capsys.readouterr().out) == steps.split()
    assert desk.calls == []


def step_names(out: str) -> list[str]:
    return re.findall(r"^# \d+\. ([a-z-]+):", out, re.MULTILINE)


REFUSED = {
    "release producton IMAGE:a1": "'producton' is not known: choose from production, staging",
    f"release staging {NAME}": f"image '{NAME}' has no tag and no digest: give NAME:TAG or NAME@",
    f"release staging {NAME}@sha256:beef": "has no tag and no digest",
    "release staging IMAGE:latest": "is latest, which does not say what runs: give another tag",
    "release staging other/app:a1": f"'other/app:a1' is not of staging, which runs {NAME}",
    "release staging IMAGE:a1 --name a/1": "release 'a/1' is no label of at most 50 letters: give",
    "rollback staging": "staging remembers no release to go back to: name one",
    "rollback staging a9": "no ReplicaSet of web is of release 'a9': release its image",
    "lane add staging Beta IMAGE:a1": "lane 'Beta' is no DNS name: at most 32 of a-z, 0-9 and -",
    "lane add staging blue IMAGE:a1": "lane 'blue' is taken: default, blue, green mean something",
    f"lane remove staging {'x' * 33}": "is no DNS name",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_wrong_is_said_in_a_line_and_nothing_is_done(
    line: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.rollout(line) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert REFUSED[line] in said
    assert desk.calls == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"context": None}, "deploy/environments/staging.yaml has no 'context': say it there"),
        ({"namespace": None}, "has no 'namespace': say it there"),
        (
            {"strategy": "hope"},
            "strategy 'hope' is not known: choose from rolling, blue-green, canary",
        ),
        ({"context": "gone"}, 'context "gone" does not exist'),
    ],
)
def test_an_environment_that_says_too_little_is_refused(
    changed: dict[str, str | None], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path, **changed)
    assert desk.rollout("release staging IMAGE:a1") == (1 if "gone" in changed.values() else 2)
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("Job", "release staging IMAGE:a1"),
        ("Deployment", "release staging IMAGE:a1"),
        ("Rollout", "release staging IMAGE:a1 --strategy canary"),
        ("HTTPRoute", "lane add staging beta IMAGE:a1"),
    ],
)
def test_an_overlay_without_what_is_needed_is_refused(
    kind: str, line: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.overlay = [thing for thing in desk.overlay if thing["kind"] != kind]
    assert desk.rollout(line) == 2
    assert f"the overlay has no {kind}".lower() in capsys.readouterr().err.lower()
    assert desk.calls == []


def test_an_overlay_of_another_image_is_refused(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    (worker,) = [thing for thing in desk.overlay if thing["metadata"]["name"] == "worker"]
    worker["spec"]["template"]["spec"]["containers"][0]["image"] = f"{NAME}-other:a1"
    assert desk.rollout("release staging IMAGE:a1") == 2
    assert f"Deployment worker runs no {NAME}: say it there" in capsys.readouterr().err


def test_an_autoscaler_follows_the_pods_that_serve_and_no_release_sets_it_back(desk: Desk) -> None:
    def scaled() -> str:
        target = desk.cluster.find("horizontalpodautoscaler/web")["spec"]["scaleTargetRef"]
        return f"{target['kind']} {target['name']}"

    for line, target in {
        "release staging IMAGE:a1": "Deployment web",
        "release staging IMAGE:b2 --strategy blue-green": "Deployment web-blue",
        "release staging IMAGE:c3 --strategy blue-green": "Deployment web-green",
        "release staging IMAGE:c3 --strategy blue-green --keep 0": "Deployment web-green",
        "rollback staging b2": "Deployment web-blue",
        "release staging IMAGE:d4": "Deployment web",
        "release staging IMAGE:e5 --strategy canary": "Rollout web",
        "rollback staging d4": "Rollout web",
    }.items():
        assert desk.rollout(line) == 0
        assert scaled() == target, line


def test_the_deployment_of_a_canary_is_never_given_pods(desk: Desk) -> None:
    """They would be the new ones, all of them, at once."""
    (web,) = [one for one in desk.overlay if one["kind"] == "Deployment"][:1]
    web["spec"]["replicas"] = 2
    for release in ("a1", "b2"):
        assert desk.rollout(f"release staging IMAGE:{release} --strategy canary") == 0
    assert all('"replicas": 2' not in given for given in desk.given if '"name": "web"' in given)
    assert desk.pods()["Rollout web"] == ("b2", 2)


def test_a_rollback_brings_what_ran_whatever_was_applied_since(desk: Desk) -> None:
    def settings(name: str) -> None:
        for one in desk.overlay:
            if one["kind"] == "Deployment":
                (container,) = one["spec"]["template"]["spec"]["containers"]
                container["envFrom"] = [{"configMapRef": {"name": name}}]

    for release in ("a1", "b2", "b2"):
        settings(f"settings-{release}-{len(desk.given)}")
        desk.rollout(f"release staging IMAGE:{release}")
    ran = copy.deepcopy(desk.cluster.find("deployment/worker")["spec"]["template"])
    settings("settings-c3")
    desk.rollout("release staging IMAGE:c3")
    assert desk.cluster.find("deployment/worker")["spec"]["template"] != ran
    assert desk.rollout("rollback staging") == 0
    assert desk.cluster.find("deployment/worker")["spec"]["template"] == ran


def test_without_kubectl_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["release", "staging", f"{NAME}:a1"], project(tmp_path)) == 2
    assert capsys.readouterr().err == "rollout: kubectl is not on the PATH: install it\n"


@pytest.mark.parametrize(
    "way",
    [
        "release staging IMAGE:c3 --strategy rolling",
        "release staging IMAGE:c3 --strategy blue-green",
    ],
)
def test_a_strategy_that_cannot_follow_is_refused(
    way: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in HISTORY["canary"]:
        desk.rollout(line)
    desk.calls.clear()
    assert desk.rollout(way) == 2
    assert "can't follow 'canary': docs/releasing.md has the way" in capsys.readouterr().err
    assert desk.calls == []


@pytest.mark.parametrize(
    ("given", "release"),
    [
        (f"{NAME}:1.4.2", "1.4.2"),
        (f"{NAME}@{DIGEST}", "0123456789ab"),
        (f"{NAME}:A_1@{DIGEST}", "A_1"),
    ],
)
def test_a_release_is_called_by_its_tag_or_its_digest(given: str, release: str, desk: Desk) -> None:
    assert desk.rollout(f"release staging {given}") == 0
    web = desk.cluster.find("deployment/web")["spec"]["template"]
    assert web["spec"]["containers"][0]["image"] == given
    assert web["metadata"]["labels"][VERSION] == release
    (job,) = desk.cluster.of_kind("job")
    assert (
        job["metadata"]["name"] == f"migrate-{release.lower().replace('_', '-').replace('.', '-')}"
    )
    assert job["spec"]["ttlSecondsAfterFinished"] == 86400


def test_only_what_is_ours_gets_the_image_and_the_release(desk: Desk) -> None:
    other = process("redis")
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "redis:8"
    desk.overlay.append(other)
    desk.rollout("release staging IMAGE:a1")
    redis = desk.cluster.find("deployment/redis")["spec"]["template"]
    assert redis["spec"]["containers"][0]["image"] == "redis:8"
    assert VERSION not in redis["metadata"]["labels"]


@pytest.mark.parametrize(
    ("memory", "target"),
    [
        (Memory(), None),
        (Memory(("a1",)), None),
        (Memory(("a1", "b2")), "a1"),
        (Memory(("a1",), releasing="b2"), "a1"),
        (Memory(("a1", "b2"), releasing="b2"), "a1"),
        (Memory(("a1", "b2"), releasing="a1"), "b2"),
        (Memory(("a1", "b2"), going_back_to="a1"), "a1"),
        (Memory((), releasing="a1"), None),
    ],
)
def test_a_rollback_goes_to_what_finished_before(memory: Memory, target: str | None) -> None:
    assert memory.target == target


def test_a_release_is_taken_back_once_however_often_that_is_asked(desk: Desk) -> None:
    """As a pipeline does that does not know how far it came."""
    for release in ("a1", "b2", "c3"):
        desk.rollout(f"release staging IMAGE:{release}")
    for _ in range(3):
        assert desk.rollout("rollback staging --from c3") == 0
        assert desk.serves == {"b2"}
    assert desk.rollout("rollback staging --from d4") == 0
    assert desk.serves == {"b2"}


def test_asked_to_go_back_again_it_goes_no_further_unless_a_release_is_named(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a person does whose terminal was gone when it ended."""
    for release in ("a1", "b2", "c3"):
        desk.rollout(f"release staging IMAGE:{release}")
    assert desk.rollout("rollback staging") == 0
    desk.calls.clear()
    capsys.readouterr()
    assert desk.rollout("rollback staging") == 0
    assert capsys.readouterr().out == (
        "staging: b2 runs, for c3 was gone back from: to go further back, name a release\n"
    )
    assert (desk.calls, desk.serves) == ([], {"b2"})
    desk.rollout("diagnose staging")
    assert "\nback to    a1, by name: c3 was gone back from\n" in capsys.readouterr().out
    for _ in range(2):
        assert desk.rollout("rollback staging a1") == 0
        assert desk.serves == {"a1"}
    assert desk.remembered() == {"releases": "a1", "gone-back-from": "b2"}
    desk.rollout("release staging IMAGE:d4")
    assert desk.remembered() == {"releases": "a1 d4"}
    assert desk.rollout("rollback staging") == 0
    assert desk.serves == {"a1"}


@pytest.mark.parametrize("bad", ["c3", "c3-crashing", "c3-unmigratable"])
def test_a_going_back_that_was_broken_off_is_not_taken_for_done(bad: str, tmp_path: Path) -> None:
    """A pipeline that asks again would write down that it is back, where half of it is."""
    first = Desk(tmp_path)
    for release in ("a1", "b2", bad):
        first.rollout(f"release staging IMAGE:{release}")
    line = f"rollback staging --from {bad}"
    start = copy.deepcopy(first.cluster.kept)
    for at in range(1, 40):
        first.cluster = Cluster(copy.deepcopy(start))
        if not first.killed(line, at):
            break
        assert first.rollout(line) == 0, f"killed at {at}"
        assert {release for release, _ in first.pods().values()} == {"b2"}, f"killed at {at}"
        assert first.remembered() == {"releases": "a1 b2", "gone-back-from": bad}
    assert at > 5


def test_a_canary_goes_back_at_once_to_what_ran_before(tmp_path: Path) -> None:
    took = []
    for name, window in {"with": {"revisions": 10}, "without": {"revisions": 0}}.items():
        desk = Desk(tmp_path / name)
        (rollout,) = [one for one in desk.overlay if one["kind"] == "Rollout"]
        rollout["spec"]["rollbackWindow"] = window
        for release in ("a1", "b2"):
            assert desk.rollout(f"release staging IMAGE:{release} --strategy canary") == 0
        began = desk.seconds
        assert desk.rollout("rollback staging") == 0
        took.append(desk.seconds - began)
    assert took[0] < took[1]


def test_ten_releases_are_remembered_each_once() -> None:
    memory = Memory()
    for number in [*range(20), 15]:
        memory = memory.with_finished(str(number))
    assert memory.releases == ("10", "11", "12", "13", "14", "16", "17", "18", "19", "15")
    assert memory.back_at("14").releases == ("10", "11", "12", "13", "14")
    assert memory.back_at("3").releases == ("3",)


def test_a_lane_has_its_own_pods_service_and_route(desk: Desk) -> None:
    desk.rollout("release staging IMAGE:a1")
    assert desk.rollout("lane add staging beta IMAGE:b2") == 0
    cluster = desk.cluster
    for name in ("web-beta", "worker-beta"):
        deployment = cluster.find(f"deployment/{name}")
        assert deployment["spec"]["selector"]["matchLabels"]["lane"] == "beta"
        assert deployment["spec"]["template"]["metadata"]["labels"]["lane"] == "beta"
    assert cluster.find("service/web-beta")["spec"]["selector"]["lane"] == "beta"
    (rule,) = cluster.find("httproute/web-beta")["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": "web-beta", "port": 80}]
    assert desk.serves == {"a1"}
    assert [call[0] for call in desk.calls][-1] == "apply"
    (default,) = cluster.find("httproute/web")["spec"]["rules"]
    assert "headers" not in default["matches"][0]


@pytest.mark.parametrize(
    ("header", "is_ours"),
    [
        ("ctx=lane:beta", True),
        ("vendor=1, ctx=lane:beta", True),
        ("ctx=lane:beta,vendor=1", True),
        ("ctx=lane:beta2", False),
        ("xctx=lane:beta", False),
        ("ctx=lane:default", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("how", [re.search, re.fullmatch])
def test_a_lane_is_chosen_by_its_whole_name_whatever_else_the_header_has(
    header: str, is_ours: bool, how: Callable[[str, str], object], desk: Desk
) -> None:
    """Some gateways look for the pattern, others want all of the header to be it."""
    (rule,) = routed(desk.overlay[HTTPROUTE], "beta")["spec"]["rules"]
    (match,) = rule["matches"][0]["headers"]
    assert bool(how(match["value"], header)) is is_ours


def test_lanes_are_listed_and_go(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.rollout("release staging IMAGE:a1")
    before = set(desk.cluster.objects)
    desk.rollout("lane add staging beta IMAGE:b2")
    capsys.readouterr()
    desk.rollout("lane list staging")
    assert capsys.readouterr().out.split(maxsplit=2) == ["beta", "b2", "1 web, 1 worker ready\n"]
    for _ in range(2):
        assert desk.rollout("lane remove staging beta") == 0
    left = set(desk.cluster.objects) - before
    assert all(name.startswith(("replicaset/", "job/")) for name in left)
    capsys.readouterr()
    desk.rollout("lane list staging")
    assert capsys.readouterr().out == "only the default lane\n"


SHOWN = {
    "rolling": ("rolling", "release staging IMAGE:c3 --dry-run"),
    "blue-green": ("blue", "release staging IMAGE:c3 --strategy blue-green --dry-run"),
    "canary": ("canary", "release staging IMAGE:c3 --strategy canary --dry-run"),
    "rollback": ("green", "rollback staging --dry-run"),
    "lane": ("rolling", "lane add staging beta IMAGE:c3 --dry-run"),
}
PAGE = PROJECT / "docs" / "releasing.md"


@pytest.mark.parametrize("name", SHOWN)
def test_the_page_shows_what_a_dry_run_says(
    name: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    history, line = SHOWN[name]
    for earlier in HISTORY[history]:
        desk.rollout(earlier)
    capsys.readouterr()
    assert desk.rollout(line) == 0
    typed = line.replace("IMAGE:", f"{NAME}:")
    shown = f"```console\n$ python -m tools.rollout {typed}\n{capsys.readouterr().out}```\n"
    assert shown in PAGE.read_text()


def test_every_command_of_the_page_is_one(desk: Desk) -> None:
    lines = re.findall(r"^\$ python -m tools\.rollout ([^#\n]+)", PAGE.read_text(), re.MULTILINE)
    assert len(lines) >= 10
    for line in lines:
        desk.cluster = Cluster()
        for earlier in HISTORY["rolling"]:
            desk.rollout(earlier)
        assert desk.rollout(line) == 0, line

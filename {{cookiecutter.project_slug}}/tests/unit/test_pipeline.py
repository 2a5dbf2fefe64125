"""What the pipelines do, and the files that tell them to."""

import base64
import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import load
from tools.environments import PROJECT
from tools.pipeline import Refused, access, facts, images, notify
from tools.pipeline.deploy import PAUSE, REFUSED, UNDECIDED, Pipeline

DIGEST = "sha256:" + "ab" * 32
IMAGE = f"ghcr.io/ann/app:abc1234@{DIGEST}"
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "ann/app",
    "GITHUB_RUN_ID": "77",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_ACTOR": "ann",
    "GITHUB_WORKFLOW_REF": "ann/app/.github/workflows/release.yml@refs/tags/v1.4.2",
}
GITLAB_CI = {
    "GITLAB_CI": "true",
    "CI_PIPELINE_ID": "88",
    "CI_JOB_ID": "9",
    "CI_COMMIT_TAG": "v1.4.2",
    "GITLAB_USER_LOGIN": "bob",
    "CI_PIPELINE_URL": "https://gitlab.com/bob/app/-/pipelines/88",
    "CI_PROJECT_URL": "https://gitlab.com/bob/app",
    "CI_SERVER_URL": "https://gitlab.com",
}
RUN = facts.run_of(GITHUB)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """One with three environments and a commit."""
    folder = tmp_path / "deploy" / "environments"
    folder.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "app"\n')
    for name in ("development", "staging", "production"):
        told = {
            "namespace": f"app-{name}",
            "context": f"app-{name}",
            "host": f"{name}.example.org",
            "image": "ghcr.io/ann/app",
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(told))
        (folder / f"{name}.env").write_text(f"ENVIRONMENT={name}\n")
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    for command in (("init", "-q"), (*who, "commit", "-q", "--allow-empty", "-m", "One")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


class Calls:
    """Commands by their meaning; each ends as the test says, in order, or well."""

    def __init__(self, **ends: list[int]) -> None:
        self.ends = ends
        self.made: list[str] = []
        self.whole: list[Sequence[str]] = []
        self.seconds = 0.0

    def __call__(self, command: Sequence[str]) -> int:
        words = [word for word in command if not word.startswith("-")]
        verbs = ("release", "rollback", "decide")
        name = next(word for word in words if word in verbs)
        if "record" in words:
            outcome = command[command.index("--outcome") + 1]
            name = f"record {words[words.index('record') + 1]} {outcome}"
        self.made.append(name)
        self.whole.append(command)
        left = self.ends.get(name.replace(" ", "_").replace("-", "_"), [])
        return left.pop(0) if left else 0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def pipeline(project: Path, calls: Calls, where: str = "production") -> Pipeline:
    place, clock = facts.place(where, project), lambda: calls.seconds
    return Pipeline(service="app", place=place, run=RUN, call=calls, clock=clock, sleep=calls.sleep)


def candidate(project: Path) -> facts.Candidate:
    return facts.candidate("v1.4.2", IMAGE, project)


BEGUN = ["record production started", "release"]
UNDONE = ["record production failed", "rollback", "record production rolled-back"]
DEPLOYS: list[tuple[dict[str, list[int]], list[str], int]] = [
    ({}, [*BEGUN, "record production succeeded"], 0),
    ({"record_production_started": [1]}, [*BEGUN, "record production succeeded"], 0),
    ({"release": [1]}, [*BEGUN, *UNDONE], 1),
    ({"release": [1], "rollback": [1]}, [*BEGUN, *UNDONE[:2]], 1),
    ({"release": [2]}, [*BEGUN, UNDONE[0]], 1),
    ({"record_production_succeeded": [69]}, [*BEGUN, "record production succeeded"], 69),
]


@pytest.mark.parametrize(("ends", "made", "code"), DEPLOYS)
def test_a_deployment_is_recorded_and_what_fails_is_gone_back_from(
    project: Path, ends: dict[str, list[int]], made: list[str], code: int
) -> None:
    calls = Calls(**ends)
    assert pipeline(project, calls).deploy(candidate(project)) == code
    assert calls.made == made
    back = [command for command in calls.whole if "rollback" in command]
    release = IMAGE.partition("@")[0].rpartition(":")[2]
    assert all(command[command.index("--from") + 1] == release for command in back)


HOURS = 7200
DECISIONS: list[tuple[list[int], int, int]] = [
    ([0], 1, 0),
    ([REFUSED], 1, REFUSED),
    ([UNDECIDED], 1, UNDECIDED),
    ([137, 1, 0], 3, 0),
    ([1] * 500 + [0], 501, 0),
    ([1] * 9999, HOURS // int(PAUSE) + 1, 1),
]


@pytest.mark.parametrize(("ends", "asked", "code"), DECISIONS)
def test_the_agent_is_asked_after_it_knows_of_staging_and_again_where_the_line_broke(
    project: Path, ends: list[int], asked: int, code: int
) -> None:
    calls = Calls(decide=ends)
    staging = facts.place("staging", project)
    made = pipeline(project, calls).decide(candidate(project), after=staging, seconds=HOURS)
    assert made == code
    assert calls.made == ["record staging succeeded", *["decide"] * asked]
    assert keys(calls) == {"github-77:staging", "github-77"}, "the same question"
    left = [int(one[one.index("--timeout") + 1]) for one in calls.whole[1:]]
    assert left == [HOURS - int(PAUSE) * number for number in range(asked)], "and no longer"
    told = " ".join(calls.whole[0])
    assert "--namespace app-production exec deploy/scheduler -- app release record staging" in told
    assert f"--config {staging.config}" in told


def test_the_agent_is_not_asked_where_the_ledger_was_not_told(project: Path) -> None:
    calls = Calls(record_staging_succeeded=[69])
    made = pipeline(project, calls)
    assert made.decide(candidate(project), after=facts.place("staging", project), seconds=9) == 69
    assert calls.made == ["record staging succeeded"]


def test_every_step_of_an_attempt_has_one_key_and_a_question_one_in_all_of_them(
    project: Path,
) -> None:
    calls, made = Calls(), candidate(project)
    pipeline(project, calls).deploy(made)
    assert keys(calls) == {"github-77-1:production"}
    calls = Calls()
    pipeline(project, calls).decide(made, after=facts.place("staging", project), seconds=9)
    assert keys(calls) == {"github-77:staging", "github-77"}


def keys(calls: Calls) -> set[str]:
    return {c[c.index("--key") + 1] for c in calls.whole if "--key" in c}


def test_a_release_is_image_and_configuration(project: Path) -> None:
    before = facts.place("staging", project)
    assert before == facts.place("staging", project)
    (project / "deploy" / "environments" / "staging.env").write_text("LOG_LEVEL=DEBUG\n")
    assert facts.place("staging", project).config != before.config


def test_all_environments_run_one_image_and_it_is_somebody_s(project: Path) -> None:
    assert facts.image_name(project) == "ghcr.io/ann/app"
    file = project / "deploy" / "environments" / "staging.yaml"
    file.write_text(file.read_text().replace("ghcr.io/ann/app", "ghcr.io/ann/other"))
    with pytest.raises(Refused, match="several images: "):
        facts.image_name(project)
    for other in file.parent.glob("*.yaml"):
        other.write_text("{namespace: n, context: c, host: h, image: registry.example.com/app}")
    with pytest.raises(Refused, match="is an example: name one"):
        facts.image_name(project)


@pytest.mark.parametrize(
    ("version", "image", "said"),
    [
        ("main", IMAGE, "VERSION='main' is no version"),
        ("v1.4", IMAGE, "VERSION='v1.4' is no version"),
        ("v1.4.2", "ghcr.io/ann/app:abc1234", "is not whole: give NAME:RELEASE@sha256"),
        ("v1.4.2", f"ghcr.io/ann/app@{DIGEST}", "is not whole"),
    ],
)
def test_what_is_not_wholly_named_is_refused(
    project: Path, version: str, image: str, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        facts.candidate(version, image, project)


def test_an_environment_that_is_not_there_is_named(project: Path) -> None:
    with pytest.raises(Refused, match="choose from development, production, staging"):
        facts.place("qa", project)


def test_an_environment_that_does_not_say_which_cluster_it_is_in_is_refused(project: Path) -> None:
    file = project / "deploy" / "environments" / "staging.yaml"
    file.write_text(file.read_text().replace("context:", "contest:"))
    with pytest.raises(Refused, match=r"environments/staging\.yaml has no context: say it there"):
        facts.place("staging", project)


def test_a_run_says_who_and_where_and_signs_as_itself() -> None:
    assert (
        facts.Run(
            id="github-77",
            attempt="1",
            by="ann, run 77",
            url="https://github.com/ann/app/actions/runs/77",
            source="https://github.com/ann/app",
            signer="https://github.com/ann/app/.github/workflows/release.yml@refs/tags/v1.4.2",
            issuer="https://token.actions.githubusercontent.com",
        )
        == RUN
    )
    assert facts.run_of(GITLAB_CI) == facts.Run(
        id="gitlab-88",
        attempt="9",
        by="bob, pipeline 88",
        url="https://gitlab.com/bob/app/-/pipelines/88",
        source="https://gitlab.com/bob/app",
        signer="https://gitlab.com/bob/app//.gitlab-ci.yml@refs/tags/v1.4.2",
        issuer="https://gitlab.com",
    )
    assert facts.run_of({"USER": "eve"}).by == "eve"


@pytest.mark.factor("V")
def test_the_image_is_built_once_for_both_architectures_and_known_by_its_digest() -> None:
    labels = {"VERSION": "1.4.2", "SOURCE": RUN.source, "SOURCE_DATE_EPOCH": "1800000000"}
    (build,) = images.build("ghcr.io/ann/app", release="abc1234", **labels)
    given = dict(word.split("=", 2)[1:] for word in build if word.startswith("--build-arg="))
    assert given == {"RELEASE": "abc1234"} | labels
    wanted = set(re.findall(r"^ARG (\w+)", (PROJECT / "Dockerfile").read_text(), re.MULTILINE))
    assert wanted - {"PYTHON_VERSION"} == set(given) - {"SOURCE_DATE_EPOCH"}
    assert build[build.index("--platform") + 1] == "linux/amd64,linux/arm64"
    assert {"--push", "--sbom", "--provenance"} <= set(build)
    told = json.dumps({"containerimage.digest": DIGEST})
    assert images.built(told, "ghcr.io/ann/app", release="abc1234") == IMAGE
    with pytest.raises(Refused, match="has no digest"):
        images.built("{}", "ghcr.io/ann/app", release="abc1234")


def test_what_is_scanned_signed_and_verified_is_the_digest() -> None:
    commands = [*images.scan(IMAGE), *images.sign(IMAGE), *images.verify(IMAGE, RUN)]
    assert [command[-1] for command in commands] == [IMAGE] * 5
    scans = images.scan(IMAGE)
    assert {command[command.index("--platform") + 1] for command in scans} == {
        "linux/amd64",
        "linux/arm64",
    }
    for command in [*scans, *images.scan_local("app:abc1234")]:
        assert command[command.index("--exit-code") + 1] == "1"
    (verify,) = images.verify(IMAGE, RUN)
    assert verify[verify.index("--certificate-identity") + 1] == RUN.signer


def token(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


def test_the_token_of_the_run_is_all_that_opens_a_cluster(project: Path) -> None:
    given = {"KUBE_SERVER": "https://kube.example.org", "KUBE_CA": "Y2E="}
    place = facts.place("staging", project)
    assert access.write_kubeconfig(place, {}, project) is None, "a laptop has its own"
    file = access.write_kubeconfig(place, given, project)
    assert file is not None
    assert file.stat().st_mode & 0o077 == 0
    written = json.loads(file.read_text())
    assert written["current-context"] == place.context == "app-staging"
    assert list(written["users"][0]["user"]) == ["exec"]
    made = access.credential({"KUBE_TOKEN": token(exp=1_800_000_000)})
    assert made["status"]["token"].startswith("e30.")
    assert made["status"]["expirationTimestamp"] == "2027-01-15T08:00:00Z"
    with pytest.raises(Refused, match="id-token: write"):
        access.credential({})
    with pytest.raises(Refused, match="KUBE_CA is not"):
        access.write_kubeconfig(place, {"KUBE_SERVER": "https://x"}, project)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("success success success", "app v1.4.2 is done: ann, run 77 https://"),
        ("success failure skipped", "app v1.4.2 FAILED: ann"),
        ("success cancelled skipped", "app v1.4.2 was stopped: ann"),
    ],
)
def test_of_all_outcomes_the_worst_is_told(outcome: str, words: str) -> None:
    assert notify.sentence("app", "v1.4.2", outcome, RUN).startswith(words)


def test_a_message_goes_only_to_an_https_address(capsys: pytest.CaptureFixture[str]) -> None:
    for url in ("", "http://127.0.0.1:1/", "file:///etc/passwd"):
        notify.send(url, "hello")
    assert capsys.readouterr().out.count("not sent, for NOTIFY_URL is no https URL: hello") == 3


def tally(*answers: tuple[str, float, int]) -> load.Tally:
    made = load.Tally()
    for answer, seconds, times in answers:
        for _ in range(times):
            made.note(answer, seconds)
    return made


LOADS = [
    (tally(("200", 0.1, 1000)), ""),
    (tally(("200", 0.1, 2000), ("503", 0.1, 1)), ""),
    (tally(("200", 0.1, 2000), ("503", 0.1, 3)), "0.15% of the requests failed"),
    (tally(("200", 0.1, 900), ("429", 0.1, 100)), "10.00% of the requests failed"),
    (tally(("200", 0.1, 1000), ("ReadTimeout", 10, 5)), "0.50% of the requests failed"),
    (tally(("200", 0.1, 900), ("200", 3, 100)), "p95 is 3.000 s, over 1 s"),
    (tally(("200", 0.1, 99)), "only 99 requests were answered"),
    (tally(), "only 0 requests were answered"),
]


@pytest.mark.parametrize(("made", "fault"), LOADS)
def test_a_load_that_fails_or_is_slow_or_never_came_is_red(made: load.Tally, fault: str) -> None:
    assert fault in " ".join(made.faults(p95=1))
    assert bool(made.faults(p95=1)) == bool(fault)


def test_what_a_pipeline_gives_a_chore_reaches_it(tmp_path: Path) -> None:
    """What a makefile sets takes the place of a variable of that name, without a word."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec env\n")
    python.chmod(0o755)
    names = (
        "ENVIRONMENT VERSION IMAGE AFTER TIMEOUT OUTCOME NOTIFY_URL KEY URL RELEASE REGISTRY_TOKEN"
    )
    given = {name: f"given-as-{name}" for name in names.split()}
    for chore in ("publish", "deploy", "decide", "notify", "load"):
        command = ["make", "--silent", "--old-file=setup", chore, f"BIN={tmp_path}"]
        done = subprocess.run(
            command, cwd=PROJECT, env=os.environ | given, capture_output=True, text=True, check=True
        )
        told = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
        assert {name: told.get(name) for name in given} == given, chore

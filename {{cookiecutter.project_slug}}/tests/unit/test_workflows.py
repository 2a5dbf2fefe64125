"""The files of the pipelines: they call what exists, may do little, and take what is exact."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
GITLAB = [file for file in [PROJECT / ".gitlab-ci.yml"] if file.exists()]
FILES = [*WORKFLOWS, *GITLAB]
OPEN = "$" + "{" * 2
DEPLOYS = {"packages": "read", "id-token": "write"}
MAY = {"build": DEPLOYS | {"packages": "write"}, "staging": DEPLOYS, "production": DEPLOYS}


def parsed(file: Path) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load(file.read_text())
    return made


def commands(file: Path) -> Iterator[str]:
    if file in GITLAB:
        for job in parsed(file).values():
            if isinstance(job, dict):
                yield from [*job.get("before_script", []), *job.get("script", [])]
        return
    for job in parsed(file)["jobs"].values():
        yield from (step["run"] for step in job.get("steps", []) if "run" in step)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_pipeline_calls_chores_that_exist(file: Path) -> None:
    makefile = (PROJECT / "Makefile").read_text()
    chores = set(re.findall(r"^([a-z0-9]+):", makefile, re.MULTILINE))
    called = [word for line in commands(file) for word in re.findall(r"\bmake ([a-z0-9]+)", line)]
    assert called
    assert set(called) <= chores


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_may_do_no_more_than_it_has_to(file: Path) -> None:
    workflow = parsed(file)
    assert workflow["permissions"] == {}
    assert "concurrency" in workflow
    for name, job in workflow["jobs"].items():
        wanted = job["permissions"]
        assert wanted.pop("contents") == "read", name
        assert wanted == MAY.get(name, {}), name
        assert "uses" in job or job["timeout-minutes"] <= 180
        for step in job.get("steps", []):
            assert OPEN not in step.get("run", ""), "what others may name is no code here"
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_all_that_a_pipeline_takes_from_others_has_an_exact_version(file: Path) -> None:
    text = file.read_text()
    for tag in re.findall(r"uses: [\w-]+/[\w./-]+@(\S+)", text):
        assert re.fullmatch(r"v\d+\.\d+\.\d+|[0-9a-f]{40}", tag)
    for image in re.findall(r"(?:image|name): ([\w./-]+:\S+)|\brun .*? ([\w./-]+:\S+)", text):
        assert re.search(r":(v?\d|qemu-v\d|\$PYTHON)", "".join(image)), image


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_pipeline_holds_a_key_that_lasts(file: Path) -> None:
    named = set(re.findall(r"\bsecrets\.(\w+)", file.read_text()))
    assert named <= {"LOAD_KEY", "NOTIFY_URL"}, "a key of the staging service, and a chat's address"


@pytest.mark.skipif(not WORKFLOWS, reason="GitHub was not chosen")
@pytest.mark.factor("V")
def test_production_runs_the_very_image_that_ran_in_staging() -> None:
    jobs = parsed(PROJECT / ".github" / "workflows" / "release.yml")["jobs"]
    staging, production = jobs["staging"], jobs["production"]
    assert set(production["needs"]) == {"build", "staging"}
    assert staging["env"]["IMAGE"] == production["env"]["IMAGE"]
    assert staging["env"]["IMAGE"].startswith(f"{OPEN} needs.build.outputs.image ")
    assert (staging["environment"], production["environment"]) == ("staging", "production")
    for job in (staging, production):
        told = [step.get("run") for step in job["steps"]]
        assert told.index("make verify") < told.index("make deploy")
    told = [step.get("run") for step in production["steps"]]
    assert told.index("make decide") < told.index("make deploy")


@pytest.mark.skipif(not (WORKFLOWS and GITLAB), reason="only one of the two was chosen")
def test_both_pipelines_do_the_same() -> None:
    def chores(files: list[Path]) -> set[str]:
        lines = [line for file in files for line in commands(file)]
        return {word for line in lines for word in re.findall(r"\bmake ([a-z0-9]+)", line)}

    assert chores(WORKFLOWS) == chores(GITLAB) | {"gitleaks"}, "which GitLab runs as an image"


GITOPS = PROJECT / "deploy" / "gitops" / "application.yaml"


def test_the_application_for_argo_cd_names_an_overlay_and_says_what_to_fill_in() -> None:
    text = GITOPS.read_text()
    application = yaml.safe_load(text)
    head, _, rest = text.partition("apiVersion:")
    to_fill = set(re.findall(r"\b[A-Z]{4,}\b", rest))
    assert to_fill == {"OWNER", "NAME", "SLUG"}
    assert all(name in head for name in to_fill)
    overlay = application["spec"]["source"]["path"]
    assert overlay == f"deploy/kubernetes/overlays/{application['metadata']['name']}"
    assert not (PROJECT / "deploy/kubernetes").exists() or (PROJECT / overlay).is_dir()
    assert application["spec"]["destination"]["namespace"].endswith(application["metadata"]["name"])

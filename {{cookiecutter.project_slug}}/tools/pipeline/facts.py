"""What a run of a pipeline is about: which service, version, commit; where; and who started it."""

import hashlib
import re
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import Refused

VERSION = re.compile(r"v?([0-9]+\.[0-9]+\.[0-9]+(-[0-9a-z.]+)?)")
IMAGE = re.compile(r"[^@\s]+:[\w.-]+@sha256:[0-9a-f]{64}")
NOBODYS = "registry.example.com/"
SAID = ("namespace", "context", "host", "image")


@dataclass(frozen=True)
class Place:
    """An environment, as deploy/environments describes it."""

    name: str
    namespace: str
    context: str
    host: str
    image: str
    config: str
    """A hash of its description and its settings: a release is an image and this."""


@dataclass(frozen=True)
class Run:
    """One run: the same id in all its jobs and repeats, of which each is an attempt of its own."""

    id: str
    attempt: str
    by: str
    url: str
    source: str
    """The address of the repository."""
    signer: str
    """As whom it signs: what the certificate of a signature has to say,"""
    issuer: str
    """and who vouches for that."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is to be released."""

    version: str
    image: str
    commit: str
    committed_at: str

    @property
    def release(self) -> str:
        """As the cluster knows it: the tag that stands before the digest."""
        return self.image.partition("@")[0].rpartition(":")[2]


def slug(project: Path) -> str:
    return str(tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"])


def place(name: str, project: Path) -> Place:
    folder = project / "deploy" / "environments"
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in known:
        raise Refused(f"ENVIRONMENT={name!r} is not known: choose from {', '.join(known)}")
    files = [folder / f"{name}.yaml", folder / f"{name}.env"]
    told: dict[str, Any] = yaml.safe_load(files[0].read_text())
    text = b"\0".join(file.read_bytes() for file in files)
    if missing := [key for key in SAID if key not in told]:
        raise Refused(f"deploy/environments/{name}.yaml has no {', '.join(missing)}: say it there")
    config = hashlib.sha256(text).hexdigest()[:12]
    return Place(name, config=config, **{key: str(told[key]) for key in SAID})


def image_name(project: Path) -> str:
    """The one that all environments run: what was tested in one goes on to the next."""
    folder = project / "deploy" / "environments"
    names = {place(file.stem, project).image for file in sorted(folder.glob("*.yaml"))}
    if len(names) != 1:
        raise Refused(f"deploy/environments name several images: {', '.join(sorted(names))}")
    (name,) = names
    if name.startswith(NOBODYS):
        raise Refused(f"deploy/environments: image {name} is an example: name one in your registry")
    return name


def version(given: str) -> str:
    if not (match := VERSION.fullmatch(given)):
        raise Refused(f"VERSION={given!r} is no version: tag the commit as in v1.4.2")
    return match[1]


def head(project: Path) -> tuple[str, ...]:
    """The commit that is checked out, and its time: for people, and in seconds."""
    said = ("git", "log", "-1", "--format=%H %cI %ct")
    run = subprocess.run(said, cwd=project, capture_output=True, text=True, check=True)
    return tuple(run.stdout.split())


def candidate(version_: str, image: str, project: Path) -> Candidate:
    if not IMAGE.fullmatch(image):
        raise Refused(f"IMAGE={image!r} is not whole: give NAME:RELEASE@sha256:…")
    commit, committed_at, _ = head(project)
    return Candidate(
        version=version(version_), image=image, commit=commit, committed_at=committed_at
    )


def run_of(environment: Mapping[str, str]) -> Run:
    """As the pipeline's own variables tell it; on a laptop, whoever sits there."""
    if environment.get("GITHUB_ACTIONS") == "true":
        site = f"{environment['GITHUB_SERVER_URL']}/"
        source = f"{site}{environment['GITHUB_REPOSITORY']}"
        number = environment["GITHUB_RUN_ID"]
        return Run(
            id=f"github-{number}",
            attempt=environment["GITHUB_RUN_ATTEMPT"],
            by=f"{environment['GITHUB_ACTOR']}, run {number}",
            url=f"{source}/actions/runs/{number}",
            source=source,
            signer=f"{site}{environment['GITHUB_WORKFLOW_REF']}",
            issuer="https://token.actions.githubusercontent.com",
        )
    if environment.get("GITLAB_CI") == "true":
        number, tag = environment["CI_PIPELINE_ID"], environment.get("CI_COMMIT_TAG", "")
        return Run(
            id=f"gitlab-{number}",
            attempt=environment["CI_JOB_ID"],
            by=f"{environment['GITLAB_USER_LOGIN']}, pipeline {number}",
            url=environment["CI_PIPELINE_URL"],
            source=environment["CI_PROJECT_URL"],
            signer=f"{environment['CI_PROJECT_URL']}//.gitlab-ci.yml@refs/tags/{tag}",
            issuer=environment["CI_SERVER_URL"],
        )
    who = environment.get("USER", "somebody")
    return Run(id="", attempt="", by=who, url="", source="", signer="", issuer="")

"""What a person gives: the environment, the image, the lane. Wrong ones are refused in one line."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import Refused

STRATEGIES = ("rolling", "blue-green", "canary")
IMAGE = re.compile(r"(?P<name>[^@\s]+?)(:(?P<tag>[\w.-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?")
RELEASE = re.compile(r"[A-Za-z0-9]([\w.-]{0,48}[A-Za-z0-9])?")
LANE = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
RESERVED = ("default", "blue", "green")


@dataclass(frozen=True)
class Environment:
    name: str
    namespace: str
    context: str
    host: str
    image: str
    strategy: str


@dataclass(frozen=True)
class Image:
    name: str
    reference: str
    release: str


def environment(name: str, project: Path) -> Environment:
    """As deploy/environments describes it; the context is never the one that is just current."""
    folder = project / "deploy" / "environments"
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in known:
        raise Refused(f"environment {name!r} is not known: choose from {', '.join(known)}")
    told = yaml.safe_load((folder / f"{name}.yaml").read_text())
    where = f"deploy/environments/{name}.yaml"
    return Environment(
        name=name,
        namespace=_text(told, "namespace", where),
        context=_text(told, "context", where),
        host=_text(told, "host", where),
        image=_text(told, "image", where),
        strategy=chosen(_text(told, "strategy", where)),
    )


def image(given: str, known: Environment, release: str | None = None) -> Image:
    """Which image, and the release that it is: its tag, or the beginning of its digest."""
    match = IMAGE.fullmatch(given)
    if not match or not (match["tag"] or match["digest"]):
        raise Refused(f"image {given!r} has no tag and no digest: give NAME:TAG or NAME@sha256:…")
    if match["tag"] == "latest":
        raise Refused(f"image {given!r} is latest, which does not say what runs: give another tag")
    if match["name"] != known.image:
        raise Refused(f"image {given!r} is not of {known.name}, which runs {known.image}")
    release = release or match["tag"] or match["digest"].removeprefix("sha256:")[:12]
    if not RELEASE.fullmatch(release):
        raise Refused(f"release {release!r} is no label of at most 50 letters: give --name RELEASE")
    return Image(known.image, given, release)


def lane(name: str) -> str:
    if not LANE.fullmatch(name):
        raise Refused(f"lane {name!r} is no DNS name: at most 32 of a-z, 0-9 and -, a letter first")
    if name in RESERVED:
        raise Refused(f"lane {name!r} is taken: {', '.join(RESERVED)} mean something else")
    return name


def chosen(strategy: str) -> str:
    if strategy not in STRATEGIES:
        raise Refused(f"strategy {strategy!r} is not known: choose from {', '.join(STRATEGIES)}")
    return strategy


def _text(told: dict[str, Any], key: str, where: str) -> str:
    if not isinstance(told.get(key), str):
        raise Refused(f"{where} has no {key!r}: say it there")
    return str(told[key])

"""The one place that starts kubectl, always with a context and a namespace."""

import json
import shlex
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from . import Object, Refused
from .cluster import Cluster

KINDS = "deployments,replicasets,services,jobs,horizontalpodautoscalers"
EXTENSIONS = ("rollouts.argoproj.io",)
UNKNOWN = "the server doesn't have a resource type"
SECONDS = 120
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


Start = Callable[[tuple[str, ...], str], str]
"""Runs a command, with its stdin, and gives what it says."""


class KubectlError(Exception):
    """What kubectl said."""


@dataclass(frozen=True)
class Kubectl:
    context: str
    namespace: str
    start: Start

    def __str__(self) -> str:
        return shlex.join(self._command)

    @property
    def _command(self) -> tuple[str, ...]:
        return ("kubectl", f"--context={self.context}", f"--namespace={self.namespace}")

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        return self.start((*self._command, *arguments), stdin)

    def now(self, *kinds: str) -> Cluster:
        """All objects of these kinds; of those by which releases are made, if none is named."""
        found = self._get(",".join(kinds) or KINDS)
        for kind in () if kinds else EXTENSIONS:
            try:
                found += self._get(kind)
            except KubectlError as error:
                if UNKNOWN not in str(error):
                    raise
        return Cluster(tuple(found))

    def look(self, things: Iterable[str]) -> Cluster:
        return Cluster(tuple(self._get(*things, "--ignore-not-found")))

    def _get(self, *wanted: str) -> list[Object]:
        told = json.loads(self("get", *wanted, "--output=json") or '{"items": []}')
        found: list[Object] = told.get("items", [told])
        return found


def render(overlay: Path, start: Start) -> list[Object]:
    """The objects of an overlay; no cluster is asked for them."""
    try:
        return list(yaml.load_all(start(("kubectl", "kustomize", str(overlay)), ""), LOADER))
    except KubectlError as error:
        raise Refused(f"overlay {overlay} can't be rendered: {error}") from None


def run(command: tuple[str, ...], stdin: str) -> str:
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except FileNotFoundError:
        raise Refused("kubectl is not on the PATH: install it") from None
    except subprocess.TimeoutExpired:
        raise KubectlError(f"no answer within {SECONDS} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()[-3:]
        raise KubectlError("; ".join(said) or f"it ended with {done.returncode}")
    return done.stdout

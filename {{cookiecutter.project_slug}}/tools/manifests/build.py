"""What kustomize makes of an overlay, as objects to look at."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from ..scan import MissingTool

Object = dict[str, Any]
FOLDER = Path("deploy", "kubernetes")
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MADE_OF_PODS = ("Deployment", "StatefulSet", "Job")


@dataclass(frozen=True)
class Build:
    """One overlay, with components that a cluster may have beside those it names itself."""

    environment: str
    components: Sequence[str]
    text: str
    said: str
    """What kustomize had to say about it: nothing, where all is well."""

    @property
    def name(self) -> str:
        return " + ".join([self.environment, *self.components])

    @cached_property
    def objects(self) -> list[Object]:
        return [_object(text) for text in self.text.split("\n---\n")]

    def of(self, *kinds: str) -> Iterator[Object]:
        return (thing for thing in self.objects if thing["kind"] in kinds)

    def names(self, *kinds: str) -> set[str]:
        return {str(thing["metadata"]["name"]) for thing in self.of(*kinds)}

    def pods(self) -> Iterator[tuple[str, Object]]:
        """What every pod is made from, and what makes it."""
        for thing in self.of(*MADE_OF_PODS):
            yield title(thing), thing["spec"]["template"]

    @property
    def settings(self) -> dict[str, str]:
        """What every process of ours is told."""
        for thing in self.of("ConfigMap"):
            if thing["metadata"]["name"].startswith("settings-"):
                return dict(thing["data"])
        return {}


@cache
def _object(text: str) -> Object:
    """Most are the same in many builds; nobody changes them."""
    return dict(yaml.load(text, LOADER))


def title(thing: Object) -> str:
    return f"{thing['kind']} {thing['metadata']['name']}"


def parsed(file: Path) -> Any:
    return yaml.load(file.read_text(), LOADER)


def kustomize() -> list[str]:
    """The command that builds an overlay."""
    for command in (["kustomize", "build"], ["kubectl", "kustomize"]):
        if shutil.which(command[0]):
            return command
    raise MissingTool("there is no kustomize and no kubectl here: install one of them")


def build(project: Path, environment: str, *components: str) -> Build:
    """An overlay as it is, or with these components beside its own."""
    folder = project / FOLDER
    with TemporaryDirectory() as other:
        if components:
            folder = Path(shutil.copytree(folder, Path(other, "kubernetes")))
        overlay = folder / "overlays" / environment
        if components:
            _use(overlay / "kustomization.yaml", components)
        made = subprocess.run(
            [*kustomize(), str(overlay)], capture_output=True, text=True, check=False
        )
    return Build(environment, components, made.stdout, made.stderr.strip())


def _use(file: Path, names: Sequence[str]) -> None:
    overlay = parsed(file)
    wanted = [f"../../components/{name}" for name in names]
    others = [path for path in overlay.get("components") or [] if path not in wanted]
    file.write_text(yaml.safe_dump(overlay | {"components": [*others, *wanted]}))

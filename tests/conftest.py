"""`bake` writes a project the way a person's cookiecutter does; `Baked` is what there is to look at."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter

pytest_plugins = ["tests.built"]
ROOT = Path(__file__).parent.parent
ANSWERS: dict[str, Any] = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
FOLDER = "{{cookiecutter.project_slug}}"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Baked:
    """A generated project."""

    path: Path

    @property
    def files(self) -> set[str]:
        """Every file, by its path inside the project."""
        return {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file()}

    @property
    def metadata(self) -> dict[str, Any]:
        """The `[project]` table."""
        metadata: dict[str, Any] = tomllib.loads(self.text("pyproject.toml"))["project"]
        return metadata

    @property
    def package(self) -> str:
        """The name of the Python package."""
        return next(path.parent.name for path in self.path.glob("src/*/settings.py"))

    def text(self, name: str) -> str:
        """One file's text."""
        return (self.path / name).read_text(encoding="utf-8")

    def snapshot(self) -> dict[str, bytes]:
        """Every file's bytes."""
        return {name: (self.path / name).read_bytes() for name in self.files}


Bake = Callable[..., Baked]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own: no developer's configuration comes in, no replay file of theirs is overwritten."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setenv("USERPROFILE", str(path))
    monkeypatch.delenv("COOKIECUTTER_CONFIG", raising=False)
    config = path / ".cookiecutterrc"
    folders = {"replay_dir": str(path / "replay"), "cookiecutters_dir": str(path / "templates")}
    config.write_text(json.dumps(folders), encoding="utf-8")
    return path


@pytest.fixture
def bake(tmp_path: Path) -> Bake:
    """Generates a project from answers, each into a directory of its own unless one is given."""
    numbers = count()

    def run(
        template: Path = ROOT, *, into: Path | None = None, options: dict[str, Any] | None = None, **answers: str
    ) -> Baked:
        into = into or tmp_path / f"out{next(numbers)}"
        into.mkdir(exist_ok=True)
        path = cookiecutter(
            str(template),
            no_input=True,
            extra_context=answers,
            output_dir=str(into),
            config_file=str(tmp_path / "home" / ".cookiecutterrc"),
            **(options or {}),
        )
        return Baked(Path(path))

    return run


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A copy of the template that a test may damage."""
    copy = tmp_path / "twelve-factor-agent"
    copy.mkdir()
    shutil.copy(ROOT / "cookiecutter.json", copy)
    shutil.copytree(ROOT / "hooks", copy / "hooks")
    shutil.copytree(ROOT / FOLDER, copy / FOLDER, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    return copy


def cli(*command: str, cwd: Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a tool of this environment as a person would, and returns what it said."""
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        input=stdin,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def copied(name: str) -> bool:
    """Whether cookiecutter copies this file as it is."""
    return any(fnmatch(name, pattern) for pattern in ANSWERS["_copy_without_render"])


def template_files() -> list[str]:
    """Every file of the project template, by its unrendered path."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", FOLDER],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [name.removeprefix(FOLDER + "/") for name in listed.splitlines() if (ROOT / name).is_file()]

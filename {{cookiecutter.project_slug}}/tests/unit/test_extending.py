"""The pages that say how to add something: what they say is done, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ..processes import PACKAGE
from tools.docs.walk import Untrue, walk

PROJECT = Path(__file__).parents[2]
PAGES = sorted((PROJECT / "docs").glob("add-a*.md"))
Walk = Callable[[str], dict[Path, str]]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """All that a page may touch, compiled as it is there, and the environment."""
    for name in ("src", "tests", "tools", "docs"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    for name in ("pyproject.toml", ".env.example"):
        shutil.copy(PROJECT / name, tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture
def walked(copy: Path) -> Walk:
    """Walks a page in the copy, whose sources come before those that are installed."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, "PYTHONPATH": str(copy / "src")}
    return lambda page: walk(page, copy, environment=environment)


def test_each_of_the_four_has_its_page() -> None:
    named = {page.stem.rpartition("-")[2] for page in PAGES}
    assert named == {"agent", "tool", "channel", "provider"}
    overview = (PROJECT / "docs" / "extending.md").read_text()
    assert set(re.findall(r"\((add-[a-z-]+\.md)\)", overview)) == {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_the_page_says_works_and_is_clean(page: Path, copy: Path, walked: Walk) -> None:
    touched = {f: text for f, text in walked(page.read_text()).items() if f.suffix == ".py"}
    for file, text in touched.items():  # also what the page has taken away again
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *touched],
            cwd=copy,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("```console\n$ false\n```", "false ends with 1"),
        ("```console\n$ echo one\ntwo\n```", "does not say"),
        ("```python\nx = 1\n```", "says of no file"),
        ('```diff title="pyproject.toml"\n-[tool.gone]\n+[tool.here]\n```', "0 times, not once"),
    ],
)
def test_a_page_that_says_what_is_not_so_is_seen(walked: Walk, page: str, why: str) -> None:
    with pytest.raises(Untrue, match=why):
        walked(page + "\n")


def test_what_a_page_leaves_out_may_be_anything(walked: Walk) -> None:
    walked("```console\n$ printf 'a 1 b\\nno matter\\nc\\n'\na … b\nc\n$ true\n```\n")


def test_the_copy_is_what_runs_and_not_what_is_installed(walked: Walk, copy: Path) -> None:
    """Else a page would be proven by the files of whoever runs the test."""
    command = f".venv/bin/python -c 'import {PACKAGE}; print({PACKAGE}.__file__)'"
    walked(f"```console\n$ {command}\n{copy}/src/{PACKAGE}/__init__.py\n```\n")

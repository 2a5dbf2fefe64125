"""The chores of the Makefile say what they need, and each lint is seen to fail on a defect."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import options

from .conftest import FOLDER, ROOT, Bake, cli

WORKFLOW = ".github/workflows/ci.yml"


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh checkout as far as `make setup` looks at it."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Makefile", "requirements-dev.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def stub(folder: Path, refused: str) -> str:
    """A Python that fails where its program contains a word."""
    script = folder / "stub-python"
    script.write_text(f'#!/bin/sh\ncase "$*" in *{refused}*) exit 1 ;; esac\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    return f"PYTHON={script}"


def test_make_alone_lists_every_chore() -> None:
    said = make(ROOT).stdout
    listed = re.findall(r"(?m)^make (\w+) +\S", said)
    targets = re.findall(r"(?m)^\.PHONY: ([a-z ]+)$", (ROOT / "Makefile").read_text(encoding="utf-8"))[0].split()
    assert listed == targets


def test_setup_says_in_one_line_that_the_venv_module_is_missing(checkout: Path) -> None:
    result = make(checkout, "setup", stub(checkout, "ensurepip"))
    assert result.returncode != 0
    first, *rest = result.stderr.splitlines()
    assert first.endswith("has no venv module; on Debian and Ubuntu: apt-get install python3-venv")
    assert len(rest) == 1, "only make's own line follows"


def test_setup_says_in_one_line_that_the_python_is_too_old(checkout: Path) -> None:
    result = make(checkout, "setup", stub(checkout, "version_info"))
    assert result.returncode != 0
    assert "is not Python 3.11 or newer; name one: make setup PYTHON=python3.13" in result.stderr.splitlines()[0]


def test_the_first_tool_is_installed_by_hash_from_the_lock() -> None:
    command = re.findall(r"@(sed -n .*) >\.venv", (ROOT / "Makefile").read_text(encoding="utf-8"))[0]
    found = subprocess.run(
        ["sh", "-c", command.replace("$$", "$")], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert re.fullmatch(r"uv==[\d.]+ \\\n(    --hash=sha256:[0-9a-f]{64} \\\n)+    --hash=sha256:[0-9a-f]{64}\n", found)


def test_an_options_page_out_of_step_is_seen(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "tools", copy / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "cookiecutter.json", copy)
    (copy / "docs").mkdir()
    (copy / "docs" / "options.md").write_text(options.page() + "More.\n", encoding="utf-8")
    result = cli("python", "-m", "tools.options", "--check", cwd=copy)
    assert (result.returncode, result.stderr) == (1, "options.md is out of step: run make options\n")
    assert cli("python", "-m", "tools.options", cwd=copy).returncode == 0
    assert cli("python", "-m", "tools.options", "--check", cwd=copy).returncode == 0


GITHUB = ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW)
GITLAB = ("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", ".gitlab-ci.yml")
ZIZMOR = ("zizmor", "--config", str(ROOT / "zizmor.yml"), "--offline", "--no-progress", "--pedantic", ".github")


@pytest.mark.parametrize(
    ("tool", "name", "right", "wrong"),
    [
        (GITHUB, WORKFLOW, "runs-on:", "runs_on:"),
        (GITLAB, ".gitlab-ci.yml", "script:", "scripts:"),
        (ZIZMOR, WORKFLOW, "permissions: {}", "permissions: write-all"),
        (ZIZMOR, WORKFLOW, "@v7.0.1", ""),
        (ZIZMOR, WORKFLOW, "run: make check", "run: echo ${{ github.event.pull_request.title }}"),
    ],
)
def test_a_defect_in_a_ci_file_is_seen(bake: Bake, tool: tuple[str, ...], name: str, right: str, wrong: str) -> None:
    baked = bake(ci="both")
    result = cli(*tool, cwd=baked.path)
    assert result.returncode == 0, result.stdout + result.stderr
    text = baked.text(name)
    assert right in text
    (baked.path / name).write_text(text.replace(right, wrong), encoding="utf-8")
    assert cli(*tool, cwd=baked.path).returncode != 0


def test_the_makefile_lints_the_ci_files_in_the_same_way() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("'", "").replace("$(PROJECT)/", "")
    for tool in (GITHUB, GITLAB):
        assert " ".join(tool) in makefile
    assert (ROOT / FOLDER / WORKFLOW).is_file()

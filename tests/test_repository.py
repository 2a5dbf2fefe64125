"""What the template says about itself is true."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from fnmatch import filter as matching
from pathlib import Path

import pytest

from tools import options, reserved

from .conftest import ANSWERS, FOLDER, ROOT, copied, template_files

QUESTIONS = [key for key in ANSWERS if not key.startswith("_")]


def test_eight_questions_are_asked_each_in_a_sentence() -> None:
    assert QUESTIONS == [
        "project_name",
        "project_slug",
        "package_name",
        "description",
        "author_name",
        "author_email",
        "ci",
        "license",
    ]
    assert list(ANSWERS["__prompts__"]) == QUESTIONS


@pytest.mark.parametrize("key", QUESTIONS)
def test_every_question_has_help_of_a_line_below_it(key: str) -> None:
    asked, help_ = options.question(ANSWERS["__prompts__"][key])
    assert asked.endswith("?")
    assert 20 < len(help_) <= 82
    assert not set("[]\n") & set(help_)


@pytest.mark.parametrize("key", [key for key in QUESTIONS if isinstance(ANSWERS[key], list)])
def test_every_choice_is_described_and_the_first_is_recommended(key: str) -> None:
    described = {choice: text for choice, text in ANSWERS["__prompts__"][key].items() if choice != "__prompt__"}
    assert list(described) == ANSWERS[key] == list(ANSWERS["_features"][key])
    assert [choice for choice, text in described.items() if "(recommended)" in text] == ANSWERS[key][:1]


def test_no_python_file_under_src_carries_a_tag() -> None:
    tagged = [
        name
        for name in template_files()
        if name.startswith("src/") and name.endswith(".py")
        if re.search(r"\{\{-?\s*cookiecutter|\{%", (ROOT / FOLDER / name).read_text(encoding="utf-8"))
    ]
    assert tagged == []


def test_python_tests_carry_the_package_name_on_import_lines_only() -> None:
    tag = re.compile(r"\{[{%]\s*cookiecutter")
    lines = [
        f"{name}: {line}"
        for name in template_files()
        if name.startswith(("tests/", "tools/")) and name.endswith(".py")
        for line in (ROOT / FOLDER / name).read_text(encoding="utf-8").splitlines()
        if tag.search(line) and not re.match(r"\s*(from|import) \{\{ cookiecutter\.package_name \}\}", line)
    ]
    assert lines == []


def test_no_python_file_is_rendered() -> None:
    """It would take the time of ten that are copied."""
    assert [name for name in template_files() if name.endswith(".py") and not copied(name)] == []


def test_every_pattern_of_what_is_copied_matches_a_file() -> None:
    assert [pattern for pattern in ANSWERS["_copy_without_render"] if not matching(template_files(), pattern)] == []


def test_options_page_is_in_step() -> None:
    assert options.PAGE.read_text(encoding="utf-8") == options.page(), "run make options"


def pythons() -> list[str]:
    """Every interpreter of a supported version that can be found."""
    found = [path for minor in range(11, 15) if (path := shutil.which(f"python3.{minor}"))]
    found += map(str, Path(os.environ.get("PYENV_ROOT", "/none")).glob("versions/3.1[1-4].*/bin/python"))
    works = [sys.executable]
    for path in found:
        if subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            works.append(path)
    return works


def test_the_standard_library_of_every_python_here_is_reserved() -> None:
    names = "import keyword, sys; print(*sys.stdlib_module_names, *keyword.kwlist, *keyword.softkwlist)"
    for python in pythons():
        found = subprocess.run([python, "-c", names], capture_output=True, text=True, check=True).stdout.split()
        assert reserved.legal(set(found)) - set(ANSWERS["_reserved"]["modules"]) == set(), python


def test_every_locked_dependency_is_reserved() -> None:
    assert set(ANSWERS["_reserved"]["projects"]) == reserved.locked_projects(), "run make lock"
    assert set(ANSWERS["_reserved"]["modules"]) >= reserved.OWN


def test_reserved_names_are_written_without_touching_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "cookiecutter.json"
    shutil.copy(ROOT / "cookiecutter.json", copy)
    monkeypatch.setattr(reserved, "ANSWERS", copy)
    before = copy.read_text(encoding="utf-8")
    reserved.write({key: set(names) for key, names in ANSWERS["_reserved"].items()})
    assert copy.read_text(encoding="utf-8") == before
    reserved.write({"modules": {"one"}, "projects": {"two"}})
    assert json.loads(copy.read_text(encoding="utf-8")) == ANSWERS | {
        "_reserved": {"modules": ["one"], "projects": ["two"]}
    }


@pytest.mark.parametrize("hook", ["pre_gen_project.py", "post_gen_project.py"])
def test_hooks_need_nothing_that_cookiecutter_does_not_bring(hook: str) -> None:
    source = (ROOT / "hooks" / hook).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names) | {"yaml"}
    assert not imported & {"subprocess", "socket", "urllib.request", "http.client"}


def test_locks_name_no_place_to_get_them_from() -> None:
    for path in [*ROOT.glob("requirements*.txt"), *(ROOT / FOLDER).glob("requirements*.txt")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?:|^-|\bfile:", text, re.MULTILINE), path.name
        for pin in re.findall(r"(?m)^\S+==.*?(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE):
            assert "--hash=sha256:" in pin, pin


def test_the_template_and_the_lock_of_its_tools_are_in_step() -> None:
    wanted = re.findall(r'(?m)^  "([a-z0-9-]+)>=', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    locked = re.findall(r"(?m)^([a-z0-9-]+)==", (ROOT / "requirements-dev.txt").read_text(encoding="utf-8"))
    assert wanted
    assert set(wanted) <= set(locked), "run make lock"

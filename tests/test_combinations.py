"""Every combination of answers gives a whole project: exactly its files, all of them sound."""

import ast
import json
import re
import tomllib
from fnmatch import fnmatch
from itertools import product
from pathlib import Path

import pytest
import yaml

from .conftest import ANSWERS, Bake, Baked, cli, copied, template_files

CHOICES = {key: list(choices) for key, choices in ANSWERS["_features"].items()}
COMBINATIONS = [dict(zip(CHOICES, answers, strict=True)) for answers in product(*CHOICES.values())]


def expected_files(package: str, **answers: str) -> set[str]:
    """What the manifest says these answers give, and the `.env` that every project gets."""
    files = {name.replace("{{cookiecutter.package_name}}", package) for name in template_files()}
    for question, choices in ANSWERS["_features"].items():
        optional = {pattern for patterns in choices.values() for pattern in patterns}
        left_out = optional - set(choices[answers[question]])
        files = {name for name in files if not any(fnmatch(name, pattern) for pattern in left_out)}
    return files | {".env"}


def module_file(folder: Path, parts: list[str]) -> Path | None:
    """The file of a module below a folder, if there is one."""
    base = folder.joinpath(*parts)
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def bound_names(path: Path) -> set[str]:
    """What a module defines at its top level."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.TypeAlias if hasattr(ast, "TypeAlias") else ()):
            names.add(node.name.id)
    return names


def lost_imports(baked: Baked) -> list[str]:
    """Imports inside the project that lead nowhere."""
    lost = []
    for name in sorted(baked.files):
        if not name.endswith(".py"):
            continue
        path = baked.path / name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                folder = path.parents[node.level - 1]
                target = [*(node.module or "").split(".")] if node.module else []
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == baked.package:
                folder, target = baked.path / "src", (node.module or "").split(".")
            else:
                continue
            module = module_file(folder, target) if target else folder / "__init__.py"
            for alias in node.names:
                found = module_file(folder, [*target, alias.name]) or (
                    module and module.is_file() and (alias.name == "*" or alias.name in bound_names(module))
                )
                if not found:
                    lost.append(f"{name}:{node.lineno}: {'.' * node.level}{node.module or ''} has no {alias.name}")
    return lost


@pytest.mark.parametrize("answers", COMBINATIONS, ids=lambda answers: "-".join(answers.values()))
def test_every_combination_gives_exactly_its_files_and_all_of_them_are_sound(
    bake: Bake, answers: dict[str, str]
) -> None:
    baked = bake(**answers)
    assert baked.files == expected_files(baked.package, **answers)
    for name in sorted(baked.files):
        data = (baked.path / name).read_bytes()
        if b"\0" in data:
            continue
        text = data.decode()
        assert not re.search(r"\{[{%]-?\s*cookiecutter", text), name
        assert copied(name) or not re.search(r"\{[{%]", text), name
        if name.endswith(".py"):
            compile(text, name, "exec", dont_inherit=True)
        elif name.endswith(".toml"):
            tomllib.loads(text)
        elif name.endswith((".yaml", ".yml")):
            list(yaml.compose_all(text, yaml.SafeLoader))
        elif name.endswith(".json"):
            json.loads(text)
        assert text.endswith("\n") or not text, f"{name} has no last line end"
        assert not re.search(r"[ \t]+\n", text) or name == "LICENSE", f"{name} has blanks at a line's end"
    assert lost_imports(baked) == []
    assert_formatted(baked)


@pytest.mark.parametrize("package", ["a", "zz", "m" * 32, "tracker_agent_of_the_other_house"])
def test_a_project_is_born_formatted_whatever_its_package_is_called(bake: Bake, package: str) -> None:
    baked = bake(package_name=package, project_slug="z")
    assert baked.package == package
    assert_formatted(baked)


def test_an_import_that_leads_nowhere_is_seen(bake: Bake) -> None:
    baked = bake()
    (baked.path / "src" / baked.package / "lost.py").write_text("from .nowhere import anything\n", encoding="utf-8")
    assert lost_imports(baked) == [f"src/{baked.package}/lost.py:1: .nowhere has no anything"]


def test_an_unformatted_file_is_seen(bake: Bake) -> None:
    baked = bake()
    (baked.path / "src" / baked.package / "ugly.py").write_text("x=1\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"ugly\.py"):
        assert_formatted(baked)


def test_the_answers_about_the_licence_reach_the_file_and_the_metadata(bake: Bake) -> None:
    for licence, spdx, words in (
        ("MIT", "MIT", "MIT License\n\nCopyright (c) Platform Team\n"),
        ("Apache-2.0", "Apache-2.0", "\n                                 Apache License\n"),
        ("Proprietary", "LicenseRef-Proprietary", "Copyright (c) Platform Team. All rights reserved.\n"),
    ):
        baked = bake(license=licence)
        assert baked.text("LICENSE").startswith(words)
        assert baked.metadata["license"] == spdx


COMMANDS = ["make tools", "make check", "make test"]


@pytest.mark.parametrize("name", [".github/workflows/ci.yml", ".gitlab-ci.yml"])
def test_ci_runs_the_projects_own_commands_and_nothing_else(bake: Bake, name: str) -> None:
    ci = yaml.safe_load(bake(ci="both").text(name))
    job = (ci.get("jobs") or ci)["check-and-test"]
    assert (job.get("script") or [step["run"] for step in job["steps"] if "run" in step]) == COMMANDS


def test_the_same_answers_give_the_same_tree(bake: Bake) -> None:
    one, other = bake().snapshot(), bake().snapshot()
    assert one.pop(".env") != other.pop(".env")
    assert one == other


def assert_formatted(baked: Baked) -> None:
    for command in (["check"], ["format", "--check"]):
        result = cli("ruff", *command, "--no-cache", ".", cwd=baked.path)
        assert result.returncode == 0, result.stdout + result.stderr

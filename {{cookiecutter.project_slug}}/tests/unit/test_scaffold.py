"""`agents new`: what it writes is formatted, linted, typed and green, and needs no other."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }} import agents
from {{ cookiecutter.package_name }}.errors import AppError
from {{ cookiecutter.package_name }}.scaffold import new_agent

PROJECT = Path(__file__).parents[2]
PACKAGE = agents.__name__.partition(".")[0]
OTHERS = agents.names()
LONG = "a_name_of_thirty_two_characters_"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with nothing but a folder for agents."""
    (tmp_path / "src" / PACKAGE / "agents").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """This project without its agents and their tests."""
    no_agent = shutil.ignore_patterns("__pycache__", *OTHERS, "test_*_agent.py", "test_agent_*.py")
    for folder in ("src", "tests"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=no_agent)
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    return tmp_path


def passes(folder: Path, *command: object) -> None:
    search = str(folder / "src")
    ran = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=folder,
        env={"PYTHONPATH": search, "MYPYPATH": search, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_new_agents_are_born_clean_and_green_and_need_no_other(copy: Path) -> None:
    made = [new_agent(name, root=copy) for name in ("on-call", LONG)]
    names = [file.parent.name for files in made for file in files if file.name == "script.py"]
    assert names == ["on_call", LONG]
    files = [file for files in made for file in files if file.suffix == ".py"]
    passes(copy, "ruff", "check", *files)
    passes(copy, "ruff", "format", "--check", *files)
    passes(copy, "mypy", *files)
    tests = [file for file in files if file.name.startswith("test_")]
    passes(copy, "pytest", "-q", "-n0", *tests)
    look = f"from {PACKAGE} import agents; assert agents.names() == {sorted(names)}"
    assert (
        subprocess.run([sys.executable, "-c", look], cwd=copy / "src", check=False).returncode == 0
    )


def test_every_file_is_named_in_the_order_that_one_reads_them(root: Path) -> None:
    made = new_agent("billing", root=root)
    assert [str(file.relative_to(root)) for file in made] == [
        f"src/{PACKAGE}/agents/billing/__init__.py",
        f"src/{PACKAGE}/agents/billing/tools.py",
        f"src/{PACKAGE}/agents/billing/script.py",
        f"src/{PACKAGE}/agents/billing/prompts/v1.md",
        f"src/{PACKAGE}/agents/billing/evals/smoke.json",
        "tests/unit/test_agent_billing.py",
    ]
    assert all(file.read_text().strip() for file in made)


@pytest.mark.parametrize(
    "name",
    ["", "9to5", "Support", "två", "a b", "class", "../up", "a" * 33, "_a", "a\n", "a" * 5000],
)
def test_a_bad_name_is_one_line_and_writes_nothing(root: Path, name: str) -> None:
    with pytest.raises(AppError, match="is no name for an agent: take lower-case letters") as error:
        new_agent(name, root=root)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_taken_name_is_one_line_and_changes_nothing(root: Path) -> None:
    made = new_agent("billing", root=root)
    made[0].write_text("mine")
    with pytest.raises(AppError, match=r"there is an agent 'billing': .*, take another name"):
        new_agent("billing", root=root)
    assert made[0].read_text() == "mine"
    made[0].unlink()
    with pytest.raises(AppError, match=r"tools\.py exists"):
        new_agent("billing", root=root)
    assert not made[0].exists()


def test_what_can_not_be_written_is_one_line_and_leaves_nothing(root: Path) -> None:
    (root / "tests").write_text("a file where a folder should be")
    with pytest.raises(AppError, match=r"test_agent_billing\.py can't be written: "):
        new_agent("billing", root=root)
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["tests"]


def test_outside_of_a_project_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        AppError, match=f"there is no {tmp_path}.*: run it in the folder of the pro"
    ):
        new_agent("billing", root=tmp_path)


def test_nothing_outside_of_an_agent_imports_it() -> None:
    """So that each can be deleted, with its own test."""
    folders = {PROJECT / "src" / PACKAGE / "agents" / name for name in OTHERS}
    files = [*(PROJECT / "src").rglob("*.py"), *(PROJECT / "tests").rglob("*.py")]
    importing = {
        file.name
        for file in files
        if not folders & set(file.parents)
        for module in imported(file.read_text())
        if any(f"agents.{name}" in module for name in OTHERS)
    }
    own = {f"test_{name}_agent.py" for name in OTHERS} | {f"test_agent_{n}.py" for n in OTHERS}
    assert importing <= own


def imported(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            found += [f"{node.module or ''}.{alias.name}" for alias in node.names]
    return found

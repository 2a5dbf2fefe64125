"""`agents new`: what it writes is formatted, linted, typed and green, and needs no other."""

import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }} import agents
from {{ cookiecutter.package_name }}.errors import AppError
from {{ cookiecutter.package_name }}.scaffold import new_agent

from ..conversation import Conversation, cases, world

PROJECT = Path(__file__).parents[2]
PACKAGE = agents.__name__.partition(".")[0]
AGENTS = Path("src", PACKAGE, "agents")
LONG = "a_name_of_thirty_two_characters_"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with nothing but a folder for agents."""
    (tmp_path / AGENTS).mkdir(parents=True)
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["on-call", LONG])
def test_a_new_agent_is_born_clean_and_answers_as_its_evals_say(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    files = [file for file in new_agent(name, root=root) if file.suffix == ".py"]
    for command in (["check", "--ignore", "INP001"], ["format", "--check"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", *files],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
    monkeypatch.setattr(agents, "__path__", [str(root / AGENTS)])
    module = import_module(f"{agents.__name__}.{agents.names()[0]}")
    script = import_module(f"{module.__name__}.script").script
    assert len(cases(module.agent)) == 2
    for say, expect in cases(module.agent):
        assert expect in Conversation(module.agent(world()), script).say(say)


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
    with pytest.raises(AppError, match="is no name for an agent: take at most 32 ") as error:
        new_agent(name, root=root)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["pyproject.toml"]


def test_a_taken_name_is_one_line_and_changes_nothing(root: Path) -> None:
    made = new_agent("billing", root=root)
    made[0].write_text("mine")
    with pytest.raises(AppError, match=r"__init__\.py exists: take another name than 'billing'"):
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
    left = {path.name for path in root.rglob("*") if path.is_file()}
    assert left == {"tests", "pyproject.toml"}


def test_outside_of_a_project_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        AppError, match=f"there is no {tmp_path}.*: run it in the folder of the pro"
    ):
        new_agent("billing", root=tmp_path)


def test_nothing_outside_of_an_agent_imports_it() -> None:
    """So that each can be deleted, with its own test."""
    files = [*(PROJECT / "src").rglob("*.py"), *(PROJECT / "tests").rglob("*.py")]
    texts = {file: file.read_text() for file in files}
    for name in {file.parent.name for file in (PROJECT / AGENTS).glob("*/__init__.py")}:
        own = re.compile(rf"/agents/{name}/|/test_agent_{name}\.py$")
        imports = re.compile(
            rf"^\s*(from|import) .*\bagents(\.| import .*\b){name}\b", re.MULTILINE
        )
        importing = {file for file, text in texts.items() if imports.search(text)}
        assert importing, f"{name} is tested"
        assert not [file for file in importing if not own.search(str(file))]

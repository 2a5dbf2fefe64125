"""A directory that is there already is never harmed."""

import json
from fnmatch import fnmatch
from pathlib import Path

import pytest
from cookiecutter.exceptions import FailedHookException, OutputDirExistsException

from .conftest import FOLDER, Bake, Baked

OVERWRITE = {"overwrite_if_exists": True}
THEIRS = {
    ".env": b"SECRET_KEY=theirs\n",
    ".gitlab-ci.yml": b"theirs: {{ untouched }}\n",
    ".github/dependabot.yml": b"theirs: true\n",
    "notes/plan.md": b"{{ cookiecutter }} {% theirs %}\n",
    "notes/broken.py": b"def (\n",
    "notes/broken.json": b"{\n",
    ".venv/bin/python": b"\x7fELF",
}


@pytest.fixture
def existing(tmp_path: Path) -> Baked:
    """A project folder with somebody's own work in it."""
    project = Baked(tmp_path / "out" / "release-agent")
    for name, data in THEIRS.items():
        (project.path / name).parent.mkdir(parents=True, exist_ok=True)
        (project.path / name).write_bytes(data)
    return project


def test_an_existing_directory_stops_the_generation_and_stays_as_it_was(bake: Bake, existing: Baked) -> None:
    with pytest.raises(OutputDirExistsException):
        bake(into=existing.path.parent)
    assert existing.snapshot() == THEIRS


def test_bad_answers_do_not_touch_a_directory_that_may_be_overwritten(bake: Bake, existing: Baked) -> None:
    with pytest.raises(FailedHookException):
        bake(into=existing.path.parent, options=OVERWRITE, author_email="nobody")
    assert existing.snapshot() == THEIRS


@pytest.mark.parametrize("ci", ["github", "none"])
def test_overwriting_keeps_every_file_that_the_answers_do_not_include(bake: Bake, existing: Baked, ci: str) -> None:
    bake(into=existing.path.parent, options=OVERWRITE, ci=ci)
    after = existing.snapshot()
    assert {name: after[name] for name in THEIRS} == THEIRS
    assert after.keys() - THEIRS.keys() == bake(ci=ci).files - THEIRS.keys()


def test_skipping_keeps_an_edited_file(bake: Bake) -> None:
    baked = bake()
    (baked.path / "README.md").write_text("# Mine\n", encoding="utf-8")
    secret = baked.text(".env")
    bake(into=baked.path.parent, options=OVERWRITE | {"skip_if_file_exists": True})
    assert baked.text("README.md") == "# Mine\n"
    assert baked.text(".env") == secret


def test_overwriting_a_project_with_itself_changes_nothing(bake: Bake) -> None:
    baked = bake()
    before = baked.snapshot()
    bake(into=baked.path.parent, options=OVERWRITE)
    assert baked.snapshot() == before


def test_a_failing_template_leaves_their_files_in_place(bake: Bake, template: Path, existing: Baked) -> None:
    (template / FOLDER / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(FailedHookException):
        bake(template, into=existing.path.parent, options=OVERWRITE)
    after = existing.snapshot()
    assert {name: after[name] for name in THEIRS} == THEIRS


def test_no_directory_is_copied_whole(template: Path) -> None:
    """cookiecutter deletes a directory before it copies one over it."""
    patterns = json.loads((template / "cookiecutter.json").read_text(encoding="utf-8"))["_copy_without_render"]
    folders = [
        path.relative_to(template / FOLDER).as_posix() for path in (template / FOLDER).rglob("*") if path.is_dir()
    ]
    assert [(folder, pattern) for folder in folders for pattern in patterns if fnmatch(folder, pattern)] == []

"""A project follows its template: an update keeps the user's edits, rejects nothing, and shows no secret."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from .conftest import FOLDER, cli

GIT = {
    "GIT_AUTHOR_NAME": "Somebody",
    "GIT_AUTHOR_EMAIL": "somebody@example.com",
    "GIT_COMMITTER_NAME": "Somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GIT.items():
        monkeypatch.setenv(name, value)


def git(path: Path, *command: str) -> str:
    return subprocess.run(["git", *command], cwd=path, check=True, capture_output=True, text=True).stdout


def commit(path: Path, message: str) -> None:
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", message)


def test_an_update_keeps_the_users_edits_and_shows_no_secret(template: Path, tmp_path: Path) -> None:
    git(template, "init", "-q", "-b", "main")
    commit(template, "first")
    answers = {"project_name": 'The "Ünïcode" agent 🚀', "project_slug": "agent", "ci": "gitlab"}
    created = cli("cruft", "create", str(template), "--no-input", "--extra-context", json.dumps(answers), cwd=tmp_path)
    assert created.returncode == 0, created.stderr
    project = tmp_path / "agent"
    secret = (project / ".env").read_bytes()
    git(project, "init", "-q", "-b", "main")
    commit(project, "born")

    readme = project / "README.md"
    readme.write_text(readme.read_text(encoding="utf-8") + "\nOurs, at the end.\n", encoding="utf-8")
    ignored = project / ".gitignore"
    ignored.write_text(ignored.read_text(encoding="utf-8") + "ours/\n", encoding="utf-8")
    commit(project, "our edits")

    source = template / FOLDER
    (source / "README.md").write_text(
        (source / "README.md").read_text(encoding="utf-8").replace("\n", "\n\nThe template's, at the start.\n", 1),
        encoding="utf-8",
    )
    (source / "src" / "{{cookiecutter.package_name}}" / "new.py").write_text('"""New."""\n', encoding="utf-8")
    with (source / ".env.example").open("a", encoding="utf-8") as file:
        file.write("# NEW=\n")
    commit(template, "second")

    updated = cli("cruft", "update", "--skip-apply-ask", cwd=project)
    assert updated.returncode == 0, updated.stderr
    assert [path.name for path in project.rglob("*.rej")] == []
    changed = git(project, "status", "--porcelain", "--untracked-files=all")
    assert {line[3:] for line in changed.splitlines()} == {
        ".cruft.json",
        ".env.example",
        "README.md",
        "src/agent/new.py",
    }
    text = readme.read_text(encoding="utf-8")
    assert "The template's, at the start." in text
    assert text.endswith("Ours, at the end.\n")
    assert (project / ".env").read_bytes() == secret
    key = secret.decode().split("SECRET_KEY=")[1].split("\n")[0]
    commit(project, "updated")
    for shown in (updated.stdout + updated.stderr, cli("cruft", "diff", cwd=project).stdout, git(project, "log", "-p")):
        assert key not in shown
        assert "\n+SECRET_KEY=" not in shown.replace("\n+SECRET_KEY=\n", "")
    assert cli("cruft", "check", cwd=project).returncode == 0

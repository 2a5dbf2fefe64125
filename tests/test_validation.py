"""A project that is not whole is never handed over: each check is seen to fail on a defect."""

import json
import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cookiecutter.exceptions import FailedHookException

from .conftest import FOLDER, Bake

Damage = Callable[[Path], None]


def append(name: str, text: str) -> Damage:
    def damage(project: Path) -> None:
        with (project / name).open("a", encoding="utf-8") as file:
            file.write(text)

    return damage


def replace(name: str, old: str, new: str) -> Damage:
    def damage(project: Path) -> None:
        text = (project / name).read_text(encoding="utf-8")
        assert old in text
        (project / name).write_text(text.replace(old, new), encoding="utf-8")

    return damage


def write(name: str, data: bytes) -> Damage:
    def damage(project: Path) -> None:
        (project / name).write_bytes(data)

    return damage


SETTINGS = "src/{{cookiecutter.package_name}}/settings.py"
DEFECTS: dict[str, tuple[Damage, str]] = {
    "a copied module that does not compile": (append(SETTINGS, "\ndef broken(:\n"), "/settings.py: "),
    "a test that does not compile": (
        write("tests/test_broken.py", b"return 1 +\n"),
        "tests/test_broken.py: ",
    ),
    "a return outside a function": (write("tests/test_broken.py", b"return 1\n"), "tests/test_broken.py: "),
    "a TOML file that does not parse": (append("pyproject.toml", "\n[tool\n"), "pyproject.toml: "),
    "a YAML file that does not parse": (append("compose.yaml", "\na: [\n"), "compose.yaml: "),
    "a copied YAML file that does not parse": (append(".github/workflows/ci.yml", "\n\ta:\n"), "/ci.yml: "),
    "a JSON file that does not parse": (write("broken.json", b"{,}\n"), "broken.json: "),
    "bytes that are no UTF-8": (write("src/broken.py", b"# \xff\n"), "src/broken.py: "),
    "an answer's tag in a rendered file": (
        append("README.md", "{% raw %}{{ cookiecutter.project_slug }}{% endraw %}\n"),
        "README.md: left from the template: {{ cookiecutter.project_slug }}",
    ),
    "a statement in a rendered file": (
        append("README.md", "{% raw %}{% if this %}{% endraw %}\n"),
        "README.md: left from the template: {% if this %}",
    ),
    "foreign braces in a rendered file": (
        append("README.md", "{% raw %}{{ $labels.job }}{% endraw %}\n"),
        "README.md: left from the template: {{ $labels.job }}",
    ),
    "an answer's tag in a copied file": (
        append(".gitignore", "{{cookiecutter.project_slug}}.log\n"),
        ".gitignore: left from the template: {{cookiecutter.project_slug}}.log",
    ),
    "a setting that the example leaves out": (
        append(SETTINGS, "\n\nclass Settings:\n    forgotten: int = 1\n"),
        ".env.example: FORGOTTEN of Settings is missing",
    ),
    "a setting that stands in the example twice": (
        append(".env.example", "\nPORT=1\nPORT=2\n"),
        "PORT stands there twice",
    ),
    "no place for the secret": (
        replace(".env.example", "SECRET_KEY=", "# SECRET_KEY="),
        "one line SECRET_KEY= is needed",
    ),
    "a secret that git would see": (replace(".gitignore", ".env\n", "\n"), ".gitignore: .env is missing"),
}


@pytest.mark.parametrize(("damage", "fault"), DEFECTS.values(), ids=DEFECTS.keys())
def test_a_defect_stops_the_bake_and_leaves_nothing(
    bake: Bake, template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: Damage, fault: str
) -> None:
    damage(template / FOLDER)
    with pytest.raises(FailedHookException):
        bake(template, into=tmp_path / "out")
    said = capfd.readouterr()
    assert fault in said.err
    assert "make up" not in said.out
    assert list((tmp_path / "out").iterdir()) == []


def test_several_defects_get_one_line_each(bake: Bake, template: Path, capfd: pytest.CaptureFixture[str]) -> None:
    append("pyproject.toml", "\n[tool\n")(template / FOLDER)
    write("broken.json", b"{,}\n")(template / FOLDER)
    with pytest.raises(FailedHookException):
        bake(template)
    said = capfd.readouterr().err
    assert [line.split(":")[0] for line in said.splitlines() if line.startswith(("pyproject", "broken"))] == [
        "broken.json",
        "pyproject.toml",
    ]


@pytest.mark.parametrize("ci", ["github", "none"])
def test_a_manifest_that_names_no_file_stops_the_bake(
    bake: Bake, template: Path, capfd: pytest.CaptureFixture[str], ci: str
) -> None:
    answers = json.loads((template / "cookiecutter.json").read_text(encoding="utf-8"))
    answers["_features"]["ci"]["github"].append("deploy/gone/*")
    (template / "cookiecutter.json").write_text(json.dumps(answers), encoding="utf-8")
    with pytest.raises(FailedHookException):
        bake(template, ci=ci)
    assert "cookiecutter.json: _features.ci: no file matches deploy/gone/*" in capfd.readouterr().err


def test_braces_are_fine_in_a_copied_file(bake: Bake) -> None:
    assert "${{ matrix.python }}" in bake().text(".github/workflows/ci.yml")


def test_every_project_gets_a_secret_of_its_own_that_only_its_owner_reads(bake: Bake) -> None:
    one, other = bake(), bake()
    secrets = [baked.text(".env").split("SECRET_KEY=")[1].split("\n")[0] for baked in (one, other)]
    assert secrets[0] != secrets[1]
    assert min(map(len, secrets)) >= 32
    assert one.text(".env").replace(secrets[0], "") == one.text(".env.example")
    if os.name == "posix":
        assert stat.S_IMODE((one.path / ".env").stat().st_mode) == 0o600


def test_git_does_not_see_the_secret(bake: Bake) -> None:
    baked = bake()
    cli_git(baked.path, "init", "-q")
    cli_git(baked.path, "add", "-A")
    listed = cli_git(baked.path, "ls-files")
    assert "pyproject.toml" in listed
    assert ".env" not in [line.strip() for line in listed.splitlines()]


def test_the_next_three_commands_stand_at_the_end(bake: Bake, capfd: pytest.CaptureFixture[str]) -> None:
    baked = bake(project_slug="other-agent")
    said = capfd.readouterr().out
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    assert lines[-4] == "other-agent is ready. What comes next:"
    commands = [re.split(r"\s+# ", line) for line in lines[-3:]]
    assert [command for command, _ in commands] == ["cd other-agent", "make up", "make test"]
    assert "\033" not in said, "colour is for a terminal"
    chores = re.findall(r"(?m)^([a-z]+):.*##", baked.text("Makefile"))
    assert {"up", "test"} <= set(chores)


def cli_git(path: Path, *command: str) -> str:
    return subprocess.run(["git", *command], cwd=path, check=True, capture_output=True, text=True).stdout

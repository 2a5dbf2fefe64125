"""What `make scan` looks for: each scan is quiet on this project, and loud on a seeded defect."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from {{ cookiecutter.package_name }}.adapters.schema import MIGRATIONS

from tools import sbom
from tools.environments import PROJECT
from tools.scan import MissingTool, advisories, leaks, licences, migrations
from tools.scan.__main__ import SCANS, main, run

KEY = "tfa_" + "k3J9xQ2a" + "_" + "Zr8vN1cYt5Wq0LbXe7Ug-Hd4Sm_Kp2Fi6Ao9RjTyVwG"
PLACEHOLDERS = [
    "tfa_XXXXXXXX_" + "X" * 43,
    "tfa_abcdefgh_…",
    "tfa_ + 8 letters or digits",
    KEY[:-1],
    KEY + "x",
]
MIGRATION = '''
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""{}""")
'''
UNSAFE = {
    "S102": "exec(given)",
    "S105": 'password = "correct horse battery"',
    "S113": 'requests.get("https://example.com")',
    "S301": "pickle.loads(given)",
    "S306": "tempfile.mktemp()",
    "S307": "eval(given)",
    "S311": "token = random.random()",
    "S324": "hashlib.md5(given)",
    "S501": 'httpx.get("https://example.com", verify=False, timeout=1)',
    "S506": "yaml.load(given)",
    "S602": "subprocess.run(given, shell=True)",
    "S701": "jinja2.Environment()",
    "PLE2502": "# \u202egnihton",
}
IGNORED = {"S104", "S603", "S607", "S608"}
"""Each with its reason in pyproject.toml."""


@pytest.mark.parametrize("name", ["migrations", "licences"])
def test_this_project_passes(name: str) -> None:
    assert list(SCANS[name](PROJECT)) == []


@pytest.mark.parametrize(("rule", "line"), UNSAFE.items())
def test_unsafe_code_is_found(rule: str, line: str) -> None:
    names = "given, hashlib, httpx, jinja2, pickle, random, requests, subprocess, tempfile, yaml"
    ruff = [str(Path(sys.executable).with_name("ruff")), "check", "--output-format", "concise"]
    found = subprocess.run(
        [*ruff, "--stdin-filename", str(PROJECT / "src" / "seeded.py"), "-"],
        input=f"import {names}\n\n{line}\n",
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
    )
    assert f" {rule} " in found.stdout


def test_of_the_rules_for_unsafe_code_only_those_with_a_reason_are_off() -> None:
    lint = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert {rule for rule in lint["ignore"] if re.fullmatch(r"S\d+", rule)} == IGNORED
    of_sources = [rules for path, rules in lint["per-file-ignores"].items() if "src" in path]
    assert not {rule for rules in of_sources for rule in rules if rule.startswith("S")}


@pytest.mark.parametrize(
    ("rule", "sql"),
    [
        ("ban-drop-column", "ALTER TABLE sessions DROP COLUMN lane"),
        ("ban-drop-table", "DROP TABLE jobs"),
        ("renaming-column", "ALTER TABLE sessions RENAME COLUMN lane TO road"),
        ("renaming-table", "ALTER TABLE jobs RENAME TO chores"),
        ("changing-column-type", "ALTER TABLE sessions ALTER COLUMN lane TYPE bigint"),
        ("adding-required-field", "ALTER TABLE sessions ADD COLUMN owner text NOT NULL"),
        ("require-concurrent-index-creation", "CREATE INDEX i ON sessions (lane)"),
    ],
)
def test_a_migration_that_takes_away_or_holds_up_is_found(
    tmp_path: Path, rule: str, sql: str
) -> None:
    for name in ("env.py", "script.py.mako"):
        (tmp_path / name).write_text((MIGRATIONS / name).read_text())
    (tmp_path / "versions").mkdir()
    file = tmp_path / "versions" / "0001_seeded.py"
    file.write_text(MIGRATION.format(sql))
    (found,) = migrations.faults(PROJECT, tmp_path)
    assert found.startswith("0001:")
    assert rule in found
    file.write_text(MIGRATION.format("ALTER TABLE sessions ADD COLUMN owner text"))
    assert not list(migrations.faults(PROJECT, tmp_path))


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ({"License-Expression": "GPL-3.0-only"}, "GPL-3.0-only"),
        ({"License-Expression": "MIT AND (AGPL-3.0-only OR MIT)"}, "AGPL-3.0-only"),
        ({"License": "Proprietary\nall rights"}, "Proprietary"),
        ({"License": ""}, "no licence"),
        ({"License-Expression": "LGPL-3.0-only"}, "LGPL-3.0-only"),
        ({"License-Expression": "MIT OR Apache-2.0"}, ""),
        ({"License": "BSD"}, ""),
    ],
)
def test_a_licence_that_is_not_allowed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, licence: dict[str, str], said: str
) -> None:
    about = SimpleNamespace(get_all=lambda key: [licence[key]] if key in licence else None)
    monkeypatch.setattr("tools.scan.licences.metadata.metadata", lambda _: about)
    for lock in licences.LOCKS:
        (tmp_path / lock).write_text("some-package==1.0 \\\n    --hash=sha256:00\n")
    found = list(licences.faults(tmp_path))
    assert [line.partition(":")[0] for line in found] == ([f"some-package has {said}"] * bool(said))


def test_no_exception_for_a_licence_is_older_than_the_locks() -> None:
    locked = {name for lock in licences.LOCKS for name in licences.pinned(PROJECT / lock)}
    assert {*licences.EXCEPTIONS, *licences.ELSEWHERE} <= locked
    assert all(licences.licence_of(name) == why for name, why in licences.EXCEPTIONS.items())


def test_the_bill_of_materials_names_each_licence_and_stops_where_there_is_none() -> None:
    bill = {"components": [{"name": "fastapi", "description": "line 1"}], "specVersion": "1.6"}
    licensed = {"name": "fastapi", "licenses": [{"expression": "MIT"}]}
    assert sbom.named(bill) == bill | {"components": [licensed]}
    with pytest.raises(SystemExit, match="nobody-knows has no licence"):
        sbom.named({"components": [{"name": "nobody-knows"}]})


def test_a_key_of_this_service_is_known_for_one_and_a_placeholder_is_not() -> None:
    rules = tomllib.loads((PROJECT / ".gitleaks.toml").read_text())["rules"]
    (rule,) = (rule for rule in rules if rule["id"] == "service-api-key")
    assert re.search(rule["regex"], f"key: {KEY}\n")
    assert re.search(rule["regex"], f'"{KEY}"')
    assert not [text for text in PLACEHOLDERS[1:] if re.search(rule["regex"], f"key: {text}\n")]


def test_gitleaks_finds_planted_keys_in_files_and_history_and_no_placeholder(
    tmp_path: Path,
) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    (tmp_path / ".gitleaks.toml").write_text((PROJECT / ".gitleaks.toml").read_text())
    (tmp_path / "safe.md").write_text("\n".join(PLACEHOLDERS))
    (tmp_path / "gone.py").write_text(f'key = "{KEY}"\n')
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["rm", "-q", "gone.py"]):
        subprocess.run([*git, *command], check=True)
    (tmp_path / "here.yaml").write_text(f"SECRET_KEY: {KEY[13:]}\n")
    try:
        found = list(leaks.faults(tmp_path))
    except MissingTool as why:
        pytest.skip(str(why))
    assert sorted(line.partition(" ")[0] for line in found) == ["gone.py:1", "here.yaml:1:"]
    assert not [line for line in found if KEY[13:] in line]


def test_advisories_are_asked_for_where_there_is_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(MissingTool, match="CI=true"):
        list(advisories.faults(PROJECT))


def test_a_missing_tool_is_skipped_loudly_and_stops_a_pipeline(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def gone(_: Path) -> Iterator[str]:
        raise MissingTool("not on the PATH")
        yield ""

    assert run({"gone": gone}, PROJECT, is_pipeline=False) == 0
    assert run({"gone": gone}, PROJECT, is_pipeline=True) == 1
    assert capsys.readouterr().out.count("gone         SKIPPED: not on the PATH") == 2


def test_what_is_found_is_printed_and_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(
        {"bad": lambda _: iter(["a:1: x"]), "good": lambda _: iter([])}, PROJECT, is_pipeline=False
    )
    assert capsys.readouterr().out == "bad          1 found\n    a:1: x\ngood         ok\n"
    monkeypatch.setattr(sys, "argv", ["scan", "nothing"])
    with pytest.raises(SystemExit, match="there is no nothing to scan: only code, secrets"):
        main()

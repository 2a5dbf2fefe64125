"""Factors that the source and the files beside it can break: I, II, III, X, and what reads them."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psycopg
import pytest

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.adapters.embedded import Embedded

from ..processes import PACKAGE
from .catalogue import FACTORS
from .report import verdict

PROJECT = Path(__file__).parents[2]
SOURCES = sorted((PROJECT / "src").rglob("*.py"))


KEYS = {  # what has to stand in a line for a pattern to be tried on it
    "PRIVATE KEY": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "A": r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{35}",
    "gh": r"\bgh[pousr]_\w{30,}",
    "sk-": r"\bsk-[\w-]{20,}",
    "xox": r"\bxox[abp]-[\w-]{10,}",
    "SECRET_KEY": r"^\s*SECRET_KEY[:=] ?[\w-]{20,}",
}


def leaks(text: str) -> bool:
    lines = text.splitlines()
    return any(
        re.search(pattern, line) for sign, pattern in KEYS.items() for line in lines if sign in line
    )


def tracked() -> list[Path]:
    """What a commit of everything would hold; all but dot-folders where git is not used."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        check=False,
    )
    if (PROJECT / ".git").exists() and listed.returncode == 0:
        files = [PROJECT / name.decode() for name in listed.stdout.split(b"\0") if name]
    else:
        files = [f for d in ("src", "tests", "tools", "docs") for f in (PROJECT / d).rglob("*.*")]
        files += [f for f in PROJECT.iterdir() if f.name != ".env"]
    found = [file for file in files if file.is_file() and file.parent.name != "__pycache__"]
    assert PROJECT / "Makefile" in found
    return found


def mentions(source: str, *names: str) -> Iterator[int]:
    """Lines that name one of these, in whatever way: so that no clever one slips through."""
    for node in ast.walk(ast.parse(source)):
        for field in ("attr", "id", "name", "value"):
            if getattr(node, field, None) in names and isinstance(node, ast.expr | ast.alias):
                yield node.lineno


def imported(source: str) -> set[str]:
    """Top-level modules that are imported from outside the package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def distribution(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-")


def in_source(*names: str, but: set[str]) -> list[str]:
    """Where the sources mention a name, outside the files that have to."""
    files = [file for file in SOURCES if file.name not in but]
    assert {file.name for file in SOURCES} >= but
    return [f"{f}:{line}" for f in files for line in mentions(f.read_text(), *names)]


@pytest.mark.parametrize(
    "source",
    [
        'if settings.environment == "x": pass',
        "f = s.environment",
        '{"x": 1}[s.environment]',
        'getattr(s, "environment")',
        "assert s.environment",
    ],
)
def test_no_switch_on_the_environment_would_be_missed(source: str) -> None:
    assert list(mentions(source, "environment")) == [1]


@pytest.mark.parametrize(
    "source",
    ["from os import getenv", "from os import environ", "'X' in os.environ", "e = os.environ"],
)
def test_no_look_at_the_environment_would_be_missed(source: str) -> None:
    assert list(mentions(source, "environ", "getenv")) == [1]


@pytest.mark.factor("I")
def test_no_code_depends_on_the_name_of_the_environment() -> None:
    """The settings define it, the logs carry it; a child's `environment` is its variables, and
    the deployment ledger's is where something was deployed.
    """
    known = {"settings.py", "logs.py", "child.py", "ledger.py", "ports.py", "otlp.py", "sentry.py"}
    known |= {"releases.py"}
    assert not [found for found in in_source("environment", but=known) if "agents/" not in found]


@pytest.mark.factor("I")
def test_there_is_one_build_for_all_environments() -> None:
    names = {"dev", "development", "test", "staging", "prod", "production"}
    builds = re.compile(r"(Dockerfile|Containerfile|compose|docker-compose|Procfile|\.env)\b")
    of_one = [
        file
        for file in tracked()
        if builds.match(file.name) and names & set(re.split(r"\W", file.name))
    ]
    building = [file.name for file in of_one if not _only_runs(file)]
    assert not building
    assert of_one, "what runs in production is described"


def _only_runs(file: Path) -> bool:
    """A compose file of an environment, which runs the image that there is."""
    return file.suffix == ".yaml" and not re.search(r"^\s*build:", file.read_text(), re.MULTILINE)


@pytest.mark.factor("II")
def test_everything_imported_is_declared() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    declared = {distribution(requirement) for requirement in project["dependencies"]}
    provided = metadata.packages_distributions()
    used = set().union(*(imported(file.read_text()) for file in SOURCES))
    assert {"fastapi", "celery"} <= used
    undeclared = {
        module
        for module in used - sys.stdlib_module_names - {PACKAGE}
        if not {distribution(name) for name in provided.get(module, ())} & declared
    }
    assert not undeclared


@pytest.mark.factor("II")
@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_dependency_is_pinned_with_hashes_and_no_address(name: str) -> None:
    lock = (PROJECT / name).read_text()
    pins = re.split(r"\n(?=\S)", lock.partition("\n")[2])
    assert len(pins) > 40
    assert all(re.match(r"[a-z0-9-]+==\S+", pin) for pin in pins)
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "://" not in lock


@pytest.mark.factor("II")
def test_the_environment_is_isolated_and_exactly_the_lock() -> None:
    lock = (PROJECT / "requirements-dev.txt").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", lock, re.MULTILINE))
    installed = {distribution(d.name): d.version for d in metadata.distributions()}
    ours = {about().slug, "pip", "setuptools"}
    strangers = {name for name in installed if pinned.get(name) != installed[name]} - ours
    assert not strangers
    for_every_platform = set(re.findall(r"^([a-z0-9-]+)==\S+ \\$", lock, re.MULTILINE))
    assert len(for_every_platform) > 40
    assert not for_every_platform - set(installed)
    assert sys.prefix != sys.base_prefix


@pytest.mark.factor("III")
def test_only_the_settings_read_the_environment() -> None:
    """A child of the supervisor is handed the environment whole, unread; what a terminal can show
    is of whoever sits there, not of the deploy.
    """
    but = {"child.py", "settings.py", "terminal.py"}
    assert not in_source("environ", "environb", "getenv", "getenvb", but=but)


@pytest.mark.factor("III")
def test_the_repository_could_be_made_public_now() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", ".env", ".local"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if (PROJECT / ".git").exists():
        assert ignored.stdout.split() == [".env", ".local"]
    assert "\nSECRET_KEY=\n" in (PROJECT / ".env.example").read_text()
    own = PROJECT / ".env"
    lines = own.read_text().splitlines() if own.exists() else []
    mine = [value for line in lines if len(value := line.partition("=")[2]) > 30]
    texts = {file: file.read_text(errors="replace") for file in tracked()}
    assert not [f for f, text in texts.items() if leaks(text) or any(s in text for s in mine)]


@pytest.mark.parametrize(
    "leak",
    [
        "-----BEGIN RSA PRIVATE" + " KEY-----",
        "AKIA" + "IOSFODNN7EXAMPLE",
        "ghp" + "_16C7e42F292c6912E7710c838347Ae178B4a",
        "sk-" + "proj-abcdefghij0123456789abcd",
        "SECRET_KEY=" + "p7d8fpa98dfhapsd98fhasd9f8h",
    ],
)
def test_no_secret_would_be_missed(leak: str) -> None:
    assert leaks(f"a line\n{leak}\n")


@pytest.mark.factor("X")
def test_laptop_and_compose_run_the_same_postgresql(server: Embedded) -> None:
    with psycopg.connect(server.url()) as connection:
        major = connection.info.server_version // 10000
    images = re.findall(r"image: (?:\S+/)?postgres:(\d+)", (PROJECT / "compose.yaml").read_text())
    assert images == [str(major)]


def test_the_web_process_imports_no_model_no_broker_and_no_migrations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # it is slow enough
    heavy = {f"{PACKAGE}.adapters.providers", "celery", "kombu", "alembic", "sqlalchemy"}
    doors = ("adapters.slack", "adapters.mail", "entrypoints.web.slack", "entrypoints.web.mail")
    heavy |= {"smtplib", *(f"{PACKAGE}.{name}" for name in doors)}
    code = f"import sys; from {PACKAGE}.entrypoints.web import app; from {PACKAGE} import bootstrap"
    code += f"; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_every_proof_names_a_factor_that_exists(request: pytest.FixtureRequest) -> None:
    marked = [item.get_closest_marker("factor") for item in request.session.items]
    assert {factor for marker in marked if marker for factor in marker.args} <= set(FACTORS)


def test_what_is_not_proven_is_not_said_to_hold() -> None:
    assert verdict({}) == "not yet"
    assert verdict({"one": "passed", "two": "failed"}) == "broken"
    assert verdict({"one": "skipped"}) == "not yet"
    assert verdict({"one": "passed"}) == "holds"

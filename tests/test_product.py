"""The default product, installed as anybody would: its own check, test, smoke and prove hold, and git sees no change.

Run by itself, not beside the other tests: it is a machine's whole work.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

from tools import reserved

from .conftest import ANSWERS, ROOT

# What package clients need to reach their index; nothing else of this environment comes in.
CLIENTS = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PYENV_")
CACHE = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
LIMITS = {"check": 300, "test": 600, "smoke": 120, "prove": 300}


def bare_environment(home: Path) -> dict[str, str]:
    """HOME, PATH, and the package clients' own settings and cache."""
    kept = {name: value for name, value in os.environ.items() if name.upper().startswith(CLIENTS)}
    return kept | {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "XDG_CACHE_HOME": CACHE}


def run(project: Path, home: Path, *command: str, limit: int = 60) -> str:
    """Runs a command in the project; what it says is shown when it fails, and nothing of it stays behind."""
    with (home / "said.txt").open("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(
            command,
            cwd=project,
            env=bare_environment(home),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            code = process.wait(30)
            said.write(f"\nnot done after {limit} seconds\n")
        said.seek(0)
        text = said.read()
    print(text)
    assert code == 0, f"{' '.join(command)} ended with {code}:\n{text[-6000:]}"
    return text


@pytest.fixture(scope="module")
def product_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("product-home")
    (home / ".cookiecutterrc").write_text(json.dumps({"replay_dir": str(home / "replay")}), encoding="utf-8")
    return home


def generate(folder: Path, home: Path, **answers: str) -> Path:
    config = str(home / ".cookiecutterrc")
    return Path(
        cookiecutter(str(ROOT), no_input=True, extra_context=answers, output_dir=str(folder), config_file=config)
    )


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, product_home: Path) -> Iterator[Path]:
    """The default answers, baked and committed."""
    project = generate(tmp_path_factory.mktemp("product"), product_home)
    author = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
    run(project, product_home, "git", "init", "-q", "-b", "main")
    run(project, product_home, "git", "add", "-A")
    run(project, product_home, "git", *author, "commit", "-q", "-m", "Born")
    yield project
    assert run(project, product_home, "git", "status", "--porcelain") == "", "the chores left something for git to see"


def test_make_alone_prints_the_list(product: Path, product_home: Path) -> None:
    said = run(product, product_home, "make")
    assert all(chore in said for chore in ("setup", "up", *LIMITS))


@pytest.mark.parametrize("chore", LIMITS)
def test_the_product_does_its_own_chores(product: Path, product_home: Path, chore: str) -> None:
    if chore == "check":
        run(product, product_home, "make", "setup", f"PYTHON={sys.executable}", limit=300)
    run(product, product_home, "make", chore, limit=LIMITS[chore])


SOME = (".venv/bin/python", "-m", "pytest", "-q", "tests/unit", "tests/factors")
TESTS_AGAIN = ("make", "test") if os.environ.get("WHOLE") else SOME
"""Those that know of agents and their pages; `make matrix` sets WHOLE and has all of them."""
LATE = "def late() -> str:\n    {}\n\n    return {}.__name__\n\n\n"
SEEDS = {
    "lint": ("src/*/service.py", "", "import re\n", "F401"),
    "format": ("src/*/service.py", "PAGE = 1000", "PAGE = (1000)", "reformat"),
    "types": ("src/*/service.py", "PAGE = 1000", 'PAGE: int = "1000"', "Incompatible types"),
    "layers": ("src/*/service.py", "", LATE.format("from .bootstrap import App", "App"), "BROKEN"),
    "purity": ("src/*/agent/ports.py", "", LATE.format("import os", "os"), "BROKEN"),
    "settings": (".env.example", "# PORT=8000", "# PORT=80", ".env.example is not what the settings say"),
    "page": ("docs/configuration.md", "`PORT`", "`PORTS`", "docs/configuration.md is not what the settings say"),
    "lock": ("pyproject.toml", '"fastapi>=', '"fastapi >=', "requirements.txt is older than the dependencies"),
    "README": ("README.md", "service.py` | ", "service.py` | 1", "README.md gives"),
}


@pytest.mark.parametrize("defect", SEEDS)
def test_a_defect_in_the_product_turns_its_check_red(product: Path, product_home: Path, defect: str) -> None:
    pattern, right, wrong, said = SEEDS[defect]
    (file,) = product.glob(pattern)
    before = file.read_text(encoding="utf-8")
    assert right in before
    first_class = before.find("@dataclass")
    after = before.replace(right, wrong, 1) if right else before[:first_class] + wrong + before[first_class:]
    file.write_text(after, encoding="utf-8")
    try:
        with pytest.raises(AssertionError, match=said):
            run(product, product_home, "make", "check", limit=LIMITS["check"])
    finally:
        file.write_text(before, encoding="utf-8")


def test_the_example_gives_way_to_an_agent_of_ones_own(product: Path, product_home: Path) -> None:
    run(product, product_home, "make", "setup", f"PYTHON={sys.executable}", limit=300)
    try:
        run(product, product_home, ".venv/bin/release-agent", "agents", "new", "support")
        run(
            product,
            product_home,
            "git",
            "rm",
            "-rq",
            "src/release_agent/agents/release",
            "tests/unit/test_agent_release.py",
        )
        run(product, product_home, "git", "add", "-A")
        run(product, product_home, "make", "check", limit=LIMITS["check"])
        run(product, product_home, *TESTS_AGAIN, limit=LIMITS["test"])
        run(product, product_home, "make", "smoke", limit=LIMITS["smoke"])
    finally:
        run(product, product_home, "git", "reset", "-q", "--hard")


def test_too_little_coverage_is_red(product: Path, product_home: Path) -> None:
    with pytest.raises(AssertionError, match="fail-under=100"):
        run(product, product_home, ".venv/bin/coverage", "report", "--fail-under=100")


def test_the_formatter_finds_nothing_to_do(product: Path, product_home: Path) -> None:
    run(product, product_home, "make", "format")
    assert run(product, product_home, "git", "status", "--porcelain") == ""


def test_what_the_product_can_import_is_reserved(product: Path) -> None:
    found = reserved.modules_of(str(product / ".venv" / "bin" / "python"))
    assert found - set(ANSWERS["_reserved"]["modules"]) == set(), "run make lock"


def test_a_hostile_name_does_not_stop_the_chores(tmp_path: Path, product_home: Path) -> None:
    project = generate(
        tmp_path,
        product_home,
        project_name="no \"quotes\" 'or' \\back\\ 发布 \u202eabc\u202c \U0001f680 # 100 % & <b>",
        project_slug="z",
        package_name="m" * 32,
        description="yes: 'no' \"~\" \\",
        author_name='Doe, Jane "JD" <x>',
    )
    run(project, product_home, "make", "check", f"PYTHON={sys.executable}", limit=300)

"""Files that follow from others: is each in step? `--lock` resolves the dependencies anew first."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from {{ cookiecutter.package_name }}.configuration import env_example, markdown

PROJECT = Path(__file__).parent.parent
LOCKS = {"requirements.txt": [], "requirements-dev.txt": ["--group", "dev"]}
COMPILE = ("--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate")
COUNTED = r"^\| `(src/[^`]+)` \| (\d+) \|"
MARK = "# In step with the dependencies of pyproject.toml: sha256:"


def faults(project: Path) -> Iterator[str]:
    """A line for each file that is out of step, with what to do."""
    for name, text in {".env.example": env_example(), "docs/configuration.md": markdown()}.items():
        if (project / name).read_text() != text:
            yield f"{name} is not what the settings say: run `make format`"
    for name in LOCKS:
        if not (project / name).read_text().startswith(f"{MARK}{digest(project)}\n"):
            yield f"{name} is older than the dependencies in pyproject.toml: run `make lock`"
    for file, count in re.findall(COUNTED, (project / "README.md").read_text(), re.MULTILINE):
        lines = len((project / file).read_text().splitlines())
        if lines != int(count):
            yield f"README.md gives {file} {count} lines, it has {lines}: correct it"


def lock(project: Path) -> None:
    for name, groups in LOCKS.items():
        command = ["uv", "pip", "compile", *COMPILE, "pyproject.toml", *groups]
        made = subprocess.run(command, cwd=project, check=True, capture_output=True, text=True)
        (project / name).write_text(f"{MARK}{digest(project)}\n{made.stdout}")


def digest(project: Path) -> str:
    """A fingerprint of the tables that the lock answers to."""
    pyproject = tomllib.loads((project / "pyproject.toml").read_text())
    tables = [
        pyproject["project"]["requires-python"],
        pyproject["project"]["dependencies"],
        pyproject["dependency-groups"],
    ]
    return hashlib.sha256(json.dumps(tables).encode()).hexdigest()


if __name__ == "__main__":
    if "--lock" in sys.argv:
        lock(PROJECT)
    out_of_step = list(faults(PROJECT))
    print(*out_of_step, sep="\n", end="\n" if out_of_step else "")
    sys.exit(bool(out_of_step))

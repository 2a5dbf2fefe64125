"""Keeps `_reserved` of cookiecutter.json: names that a project or its package cannot have.

`python -m tools.reserved PYTHON` adds what the environment of that interpreter, a generated project's own, can import,
and what its lock lists. A module once in the standard library stays: no single interpreter knows all of them.
"""

import json
import keyword
import re
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
ANSWERS = ROOT / "cookiecutter.json"
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
# Folders and modules that tests or file systems claim.
OWN = {"aux", "con", "conftest", "nul", "prn", "test", "tests"}
IMPORTABLE = "import sys, importlib.metadata as m; print(*sys.stdlib_module_names, *m.packages_distributions())"


def legal(names: set[str]) -> set[str]:
    """The names that could be a package name at all."""
    return {name for name in names if re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name)}


def modules_of(python: str) -> set[str]:
    """What an interpreter can import, and what its grammar claims."""
    found = subprocess.run([python, "-c", IMPORTABLE], capture_output=True, text=True, check=True).stdout.split()
    return legal({*found, *keyword.kwlist, *keyword.softkwlist, *OWN}) - {"release_agent"}


def locked_projects() -> set[str]:
    """Every distribution in the generated project's locks."""
    locks = "".join(path.read_text(encoding="utf-8") for path in sorted(PROJECT.glob("requirements*.txt")))
    return {re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"(?m)^([A-Za-z0-9._-]+)(?:\[.*?\])?==", locks)}


def recorded() -> dict[str, list[str]]:
    """`_reserved` as it stands."""
    names: dict[str, list[str]] = json.loads(ANSWERS.read_text(encoding="utf-8"))["_reserved"]
    return names


def write(names: dict[str, set[str]]) -> None:
    """Puts the names into cookiecutter.json and leaves the rest of it alone."""

    def block(values: set[str]) -> str:
        quoted = ", ".join(f'"{value}"' for value in sorted(values))
        return textwrap.indent(textwrap.fill(quoted, 114, break_on_hyphens=False), " " * 6)

    inner = ",\n".join(f'    "{key}": [\n{block(values)}\n    ]' for key, values in names.items())
    text = ANSWERS.read_text(encoding="utf-8")
    text = re.sub(r'(?s)  "_reserved": \{.*?\n  \}', lambda _: f'  "_reserved": {{\n{inner}\n  }}', text, count=1)
    ANSWERS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    modules = set(recorded()["modules"])
    for interpreter in sys.argv[1:]:
        modules |= modules_of(interpreter)
    write({"modules": modules, "projects": locked_projects()})

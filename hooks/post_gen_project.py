"""Removes what was not chosen, refuses a project that is not whole, gives it a secret, and says what to do next."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import sys
import tomllib
from fnmatch import filter as matching
from fnmatch import fnmatch
from functools import partial

import yaml

ANSWERS = json.loads({{ cookiecutter|jsonify|jsonify }})  # type: ignore[arg-type, name-defined]  # fmt: skip
# {% raw %}

PACKAGE = b"{{ cookiecutter.package_name }}"
ASIDE = ".before-generation"  # left by pre_gen_project in a directory that was there before
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def walk() -> list[str]:
    """Every file below, but for what a project that was there before may hold in bulk."""
    found = []
    for folder, folders, names in os.walk("."):
        folders[:] = [name for name in folders if name not in (".git", ".venv", ".local", "node_modules", ASIDE)]
        found += [os.path.join(folder, name)[2:].replace(os.sep, "/") for name in names]
    return sorted(found)


def remove_unchosen(paths: list[str]) -> list[str]:
    """Leaves the files of the chosen answers; a pattern without a file is a rotten manifest."""
    faults = []
    for question, choices in ANSWERS["_features"].items():
        chosen = {path for pattern in choices[ANSWERS[question]] for path in matching(paths, pattern)}
        for pattern in sorted({pattern for patterns in choices.values() for pattern in patterns}):
            found = matching(paths, pattern)
            if not found:
                faults.append(f"cookiecutter.json: _features.{question}: no file matches {pattern}")
            for path in set(found) - chosen:
                if os.path.exists(path):
                    os.remove(path)
                    if os.path.dirname(path) and not os.listdir(os.path.dirname(path)):
                        os.removedirs(os.path.dirname(path))
    return faults


def bring_back() -> float:
    """Returns what pre_gen_project set aside, and since when the files here are ours."""
    if not os.path.isdir(ASIDE):
        return 0
    since = os.stat(ASIDE).st_ctime
    for folder, _, names in os.walk(ASIDE):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), ASIDE)
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            os.replace(os.path.join(folder, name), path)
    shutil.rmtree(ASIDE)
    return since


def name_package(path: str) -> None:
    """Tests and tools are copied, not rendered, for that takes twice the time: only their imports name the package."""
    with open(path, "r+b") as file:
        before = file.read()
        after = before.replace(PACKAGE, ANSWERS["package_name"].encode())
        if after != before:
            file.seek(0)
            file.truncate()
            file.write(after)


def fault_in(path: str) -> str:
    """What is wrong with one file, or nothing."""
    with open(path, "rb") as file:
        data = file.read()
    if b"\0" in data:
        return ""
    try:
        text = data.decode()
        if path.endswith(".py"):
            compile(text, path, "exec", dont_inherit=True)
        elif path.endswith(".toml"):
            tomllib.loads(text)
        elif path.endswith((".yaml", ".yml")):
            for _ in yaml.compose_all(text, LOADER):
                pass
        elif path.endswith(".json"):
            json.loads(text)
    except (SyntaxError, ValueError, yaml.YAMLError) as error:
        return f"{path}: {' '.join(str(error).split())}"
    tag = residue(path, text) if "{{" in text or "{%" in text else ""
    return f"{path}: left from the template: {tag}" if tag else ""


def residue(path: str, text: str) -> str:
    """The first template tag that nobody typed; in a copied file only one that asks for an answer."""
    typed = [answer for answer in ANSWERS.values() if isinstance(answer, str) and re.search(r"\{[{%]", answer)]
    for answer in sorted({*typed, *(" ".join(answer.split()) for answer in typed)}, key=len, reverse=True):
        text = text.replace(answer, "")
    copied = any(fnmatch(path, pattern) for pattern in ANSWERS["_copy_without_render"])
    found = re.search(r"\{[{%]-?\s*cookiecutter.*" if copied else r"\{[{%].*", text)
    return found[0][:60] if found else ""


def environment_faults() -> list[str]:
    """`.env.example` names every setting, and what git must not see stays outside it."""
    with open(".env.example", encoding="utf-8") as file:
        names = re.findall(r"^(?:# ?)?([A-Z][A-Z0-9_]*)=", file.read(), re.MULTILINE)
    with open(f"src/{ANSWERS['package_name']}/settings.py", encoding="utf-8") as file:
        classes = [node for node in ast.parse(file.read()).body if isinstance(node, ast.ClassDef)]
    fields = [
        field.target.id.upper()
        for settings in classes
        if settings.name == "Settings"
        for field in settings.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.target.id.islower()
    ]
    faults = [f".env.example: {name} of Settings is missing" for name in fields if name not in names]
    faults += [f".env.example: {name} stands there twice" for name in sorted(set(names)) if names.count(name) > 1]
    with open(".gitignore", encoding="utf-8") as file:
        if ".env" not in file.read().split():
            faults.append(".gitignore: .env is missing")
    return faults


def write_env() -> str:
    """A first `.env` with a secret of its own; one that is there stays as it is."""
    with open(".env.example", encoding="utf-8") as file:
        text, secrets = re.subn(r"(?m)^SECRET_KEY=$", f"SECRET_KEY={os.urandom(32).hex()}", file.read())
    if secrets != 1:
        return ".env.example: one line SECRET_KEY= is needed"
    if not os.path.lexists(".env"):
        owner_only = partial(os.open, mode=0o600)
        with open(".env", "x", encoding="utf-8", newline="\n", opener=owner_only) as file:
            file.write(text)
    return ""


def next_steps() -> str:
    """Three commands and what each gives; in colour on a terminal that wants it."""
    bold, dim, plain = ("\033[1m", "\033[2m", "\033[0m") if in_colour() else ("", "", "")
    steps = {
        f"cd {ANSWERS['project_slug']}": "README.md says in which order it is read",
        "make up": "all of it at http://localhost:8000: no Docker, no key; Ctrl-C stops it",
        "make test": "what it promises, on a real PostgreSQL",
    }
    width = max(map(len, steps))
    lines = [f"  {bold}{step:{width}}{plain}  {dim}# {gives}{plain}" for step, gives in steps.items()]
    return "\n".join(["", f"{bold}{ANSWERS['project_slug']}{plain} is ready. What comes next:", "", *lines, ""])


def in_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def main() -> None:
    faults = remove_unchosen(walk())
    since = bring_back()
    ours = [path for path in walk() if os.lstat(path).st_mtime >= since]
    for path in ours:
        if path.startswith(("tests/", "tools/")):
            name_package(path)
    faults += filter(None, map(fault_in, ours))
    faults = faults or environment_faults()
    faults = faults or list(filter(None, [write_env()]))
    if faults:
        sys.exit("\n".join(faults))
    print(next_steps())


if __name__ == "__main__":
    main()
# {% endraw %}

"""Refuses answers that cannot become a working project, all of them at once, before a file is written."""

from __future__ import annotations

import json
import os
import re
import sys
from fnmatch import fnmatch

ANSWERS = json.loads({{ cookiecutter|jsonify|jsonify }})  # type: ignore[arg-type, name-defined]  # fmt: skip
# {% raw %}

SLUG = r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?"
SLUG_RULE = "lower-case letters, digits and dashes, a letter first, no dash last, at most 40 characters"
PACKAGE = r"[a-z][a-z0-9_]{0,31}"
PACKAGE_RULE = "lower-case letters, digits and underscores, a letter first, at most 32 characters"
LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
EMAIL = rf"[A-Za-z0-9.!#$%&'*+/=?^_|~-]{{1,64}}@({LABEL}\.)+{LABEL}"
# What TOML, YAML or UTF-8 cannot hold; tabs and line ends become blanks.
UNPRINTABLE = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
ASIDE = ".before-generation"


def faults() -> list[str]:
    """One line for each bad answer: the key, the answer, the rule, a good example."""
    found = []

    def refuse(key: str, rule: str, example: str) -> None:
        answer = repr(ANSWERS[key])
        shown = answer if len(answer) <= 80 else answer[:76] + "..." + answer[-1]
        found.append(f"{key}: {shown} is refused: {rule}; for example {example}")

    if sys.version_info < (3, 11):  # noqa: UP036
        found.append(
            f"python: cookiecutter runs on {sys.version.split()[0]}, the template needs 3.11 or newer; "
            f"for example uvx --python 3.13 cookiecutter {ANSWERS.get('_template', '.')}"
        )
    for key, example in (
        ("project_name", "Release Agent"),
        ("description", "Decides releases and asks a person first"),
        ("author_name", "Platform Team"),
    ):
        text = str(ANSWERS[key])
        if re.search(UNPRINTABLE, text):
            refuse(key, "control characters cannot be stored", example)
        elif not any(c.isprintable() and not c.isspace() for c in text):
            refuse(key, "at least one visible character", example)
        elif json.loads('"{}"'.format(ANSWERS["__" + key])) != " ".join(text.split()):
            refuse(key, f"the replayed __{key} says something else", "answer the questions again")

    slug, package = str(ANSWERS["project_slug"]), str(ANSWERS["package_name"])
    if not re.fullmatch(SLUG, slug):
        refuse("project_slug", SLUG_RULE, "release-agent")
    elif slug in ANSWERS["_reserved"]["projects"]:
        refuse("project_slug", "a dependency of the project has this name", slug[:34] + "-agent")
    if not re.fullmatch(PACKAGE, package):
        refuse("package_name", PACKAGE_RULE, "release_agent")
    elif package in ANSWERS["_reserved"]["modules"]:
        refuse("package_name", "Python or a dependency has this name", package[:26] + "_agent")
    if not re.fullmatch(EMAIL, str(ANSWERS["author_email"]), re.ASCII):
        refuse("author_email", "an e-mail address", "platform@example.com")
    for key, choices in ANSWERS["_features"].items():
        if ANSWERS[key] not in choices:
            refuse(key, "one of " + ", ".join(choices), next(iter(choices)))
    return found


def set_aside() -> None:
    """An overwritten directory keeps the files that these answers leave out: rendering would replace them first."""
    os.makedirs(ASIDE, exist_ok=True)
    left_out = {
        pattern
        for key, choices in ANSWERS["_features"].items()
        for patterns in choices.values()
        for pattern in patterns
        if pattern not in choices[ANSWERS[key]]
    }
    for folder, folders, names in os.walk("."):
        folders[:] = [name for name in folders if name not in (".git", ".venv", ".local", "node_modules", ASIDE)]
        for name in names:
            path = os.path.relpath(os.path.join(folder, name))
            if any(fnmatch(path, pattern) for pattern in left_out):
                os.renames(path, os.path.join(ASIDE, path))


def leave_nothing() -> None:
    """A slug with a slash made directories above the one that cookiecutter removes by itself."""
    parts = [part for part in str(ANSWERS["project_slug"]).replace(os.altsep or os.sep, os.sep).split(os.sep) if part]
    if len(parts) == 1 or {".", ".."} & set(parts):
        return
    path = os.getcwd()
    os.chdir(os.sep)
    for _ in parts:
        try:
            os.rmdir(path)
        except OSError:
            return
        path = os.path.dirname(path)


if __name__ == "__main__":
    bad = faults()
    if bad:
        leave_nothing()
        sys.exit("\n".join(bad))
    if os.listdir():
        set_aside()
# {% endraw %}

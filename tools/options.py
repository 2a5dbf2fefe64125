"""Writes docs/options.md from cookiecutter.json, so that the page cannot say anything else than the template asks."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "options.md"
ANSWERS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def question(prompt: str | dict[str, str]) -> tuple[str, str]:
    """What is asked, and the help that stands below it at the prompt."""
    text = prompt if isinstance(prompt, str) else prompt["__prompt__"]
    asked, _, rest = text.partition("\n")
    return asked, re.sub(r"\[/?[a-z]*\]", "", rest).strip()


def page() -> str:
    """The page as it should be."""
    prompts, features = ANSWERS["__prompts__"], ANSWERS["_features"]
    derived = {
        "project_slug": "from `project_name`: lower case, dashes, at most 40 characters",
        "package_name": "from `project_slug`: underscores, at most 32 characters, never a taken name",
    }
    lines = [
        "# Options",
        "",
        "Written by `make options` from `cookiecutter.json`. Only what needs other *files* is asked here;",
        "everything that a running service can choose is an environment variable of the generated project.",
        "",
        "| key | question | default |",
        "|---|---|---|",
    ]
    for key, default in ANSWERS.items():
        if key.startswith("_"):
            continue
        asked, help_ = question(prompts[key])
        shown = derived.get(key) or f"`{default[0] if isinstance(default, list) else default}`"
        lines.append(f"| `{key}` | {cell(asked)} {cell(help_)} | {cell(shown)} |")
    for key, choices in features.items():
        lines += [
            "",
            f"## `{key}`",
            "",
            " ".join(question(prompts[key])) + ".",
            "",
            "| answer | meaning | files |",
            "|---|---|---|",
        ]
        for choice, patterns in choices.items():
            files = ", ".join(f"`{pattern}`" for pattern in patterns) or "–"
            lines.append(f"| `{choice}` | {cell(prompts[key][choice])} | {files} |")
    lines += [
        "",
        "## Rules",
        "",
        "- `project_name`, `description`, `author_name`: any text with a visible character; white space becomes single",
        "  blanks; control characters are refused.",
        "- `project_slug`: `^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$`, and no dependency of the project.",
        "- `package_name`: `^[a-z][a-z0-9_]{0,31}$`, and no keyword, standard-library module or dependency.",
        "- `author_email`: an address with a domain, without blanks.",
        "",
        "What is typed at a prompt or replayed is taken as it stands. cookiecutter itself renders what comes as",
        "`key=value` on the command line.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        in_step = PAGE.read_text(encoding="utf-8") == page()
        sys.exit(None if in_step else f"{PAGE.name} is out of step: run make options")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")

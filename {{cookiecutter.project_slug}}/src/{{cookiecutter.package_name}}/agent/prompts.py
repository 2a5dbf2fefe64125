"""Prompts are files of our own: read, reviewed and versioned like code (factor A2)."""

import re
from collections.abc import Mapping
from importlib.resources.abc import Traversable

NAME = re.compile(r"v(\d+)\.md")


def read_prompts(folder: Traversable) -> dict[str, str]:
    """Every version in the folder, as {"v1": text}; the oldest first."""
    found = {
        int(match[1]): file.read_text(encoding="utf-8").strip()
        for file in folder.iterdir()
        if (match := NAME.fullmatch(file.name))
    }
    return {f"v{number}": found[number] for number in sorted(found)}


def choose(prompts: Mapping[str, str], wanted: str) -> str:
    """The version to pin a new session to: the wanted one where there is one, or the newest."""
    return wanted if wanted in prompts else list(prompts)[-1]

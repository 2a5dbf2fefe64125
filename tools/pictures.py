"""`make pictures`: what the READMEs show, made anew of what really runs.

Here a generation, typed at a real terminal, in docs/pictures; in a freshly baked project its own `make pictures`,
whose pictures come back into the template.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from .options import ANSWERS, ROOT

PROJECT = ROOT / "{{cookiecutter.project_slug}}"
HERE, THERE = ROOT / "docs" / "pictures", Path("docs", "pictures")
COMMAND = "uvx cookiecutter gh:org/twelve-factor-agent"
QUESTIONS = [key for key in ANSWERS if not key.startswith("_")]
PROMPT = r"\)(\x1b\[[0-9;]*m)*: ?$"


def main(demo: Path) -> int:
    HERE.mkdir(exist_ok=True)
    draw(HERE / "generation.svg", generation())
    made = subprocess.run(["make", "-s", "pictures"], cwd=demo, check=False).returncode
    (PROJECT / THERE).mkdir(exist_ok=True)
    for picture in sorted((demo / THERE).iterdir()):
        shutil.copy(picture, PROJECT / THERE)
        print(f"pictures: {picture.name} is in the template")
    return made


def terminal() -> ModuleType:
    """The generated project's own: its folder is no package by its name."""
    spec = importlib.util.spec_from_file_location("terminal", PROJECT / "tools" / "pictures" / "terminal.py")
    if spec is None or spec.loader is None:
        sys.exit("pictures: the template has no tools/pictures/terminal.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["terminal"] = module
    spec.loader.exec_module(module)
    return module


def generation() -> str:
    """What a person sees who answers each question by Enter."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        given = kept | {"HOME": folder}
        command = [str(Path(sys.executable).with_name("cookiecutter")), str(ROOT)]
        with terminal().running(command, folder=Path(folder), environment=given) as shown:
            seen = 0
            for _ in range(len(QUESTIONS)):
                seen = shown.until(PROMPT, after=seen)
                shown.type("\n")
            if code := shown.end():
                sys.exit(f"pictures: cookiecutter ended with {code}:\n{shown.shown}")
            return f"$ {COMMAND}\n{shown.shown}"


def draw(file: Path, text: str) -> None:
    file.write_text(terminal().drawn(text, title="twelve-factor-agent"), encoding="utf-8")
    print(f"pictures: {file.name}, {file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

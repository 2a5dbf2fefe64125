"""`python -m tools.pictures`: docs/pictures, of a service that runs for it alone.

A real `make up`, a real conversation with its approval, and the console in a real browser. The
database is one of its own, gone afterwards: nobody's sessions are in a picture.
"""

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.adapters.keys import new_key
from {{ cookiecutter.package_name }}.adapters.scripted import scripts

from ..environments import PROJECT, executable, missing
from . import story
from .terminal import chosen, drawn, running

PICTURES = PROJECT / "docs" / "pictures"
CLI = str(PROJECT / ".venv" / "bin" / about().slug)
PLACE = ".local"
STOPS = r"Ctrl-C stops it"
PROMPT, DECISION = r"(?m)^(\x1b\[1m)?> (\x1b\[0m)?$", r"approve it\?.*: (\x1b\[0m)?$"


def main() -> int:
    if story.AGENT not in scripts():
        print(f"pictures: the story is of the agent {story.AGENT}: tell yours in {story.__file__}")
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        given = environment(Path(folder) / "database")
        hidden = (given["API_KEY"], given["SECRET_KEY"])
        with running(["make", "up"], folder=PROJECT, environment=given) as up:
            up.until(STOPS)
            shown = up.shown.replace(f"{folder}/database", PLACE)
            draw("up", chosen(f"$ make up\n{shown}", is_news), hidden)
            draw("chat", chat(given), hidden)
            return console(given)


def environment(database: Path) -> dict[str, str]:
    """Of a first day: no key of a model, no setting but what `up` needs."""
    database.mkdir(mode=0o711)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "DATABASE_URL": f"embedded:{database}",
        "BROKER_URL": "pgmq:",
        "LOG_FORMAT": "text",
        "MODEL": f"scripted:{story.AGENT}",
        "MODEL_FALLBACKS": "",
        "DEFAULT_AGENT": story.AGENT,
        "PORT": os.environ.get("PORT", "8000"),
        "API_KEY": new_key(),
        "SECRET_KEY": secrets.token_urlsafe(32),
    }


def is_news(line: str) -> bool:
    """What `up` itself says: the picture is of a start, not of what processes log."""
    return line.startswith("$ ") or line.lstrip("\x1b[0123456789;m").startswith(("up ", "up\x1b"))


def chat(given: dict[str, str]) -> str:
    """A conversation, typed as a person would."""
    with running([CLI, "chat"], folder=PROJECT, environment=given) as terminal:
        begins = terminal.until(PROMPT)
        for words in story.SAID:
            terminal.type(f"{words}\n")
            begins = terminal.until(f"{PROMPT}|{DECISION}", after=begins + len(words))
        terminal.type("y\n")
        terminal.until(PROMPT, after=begins + 1)
        terminal.type("\x04")
        terminal.end()
        return f"$ {about().slug} chat\n{terminal.shown}"


def console(given: dict[str, str]) -> int:
    """0 where the pages could be taken."""
    if why := missing("pictures"):
        print(f"pictures: playwright is not here: {why}")
        return 1
    url = f"http://127.0.0.1:{given['PORT']}"
    session = story.tell(url, given["API_KEY"])
    script = str(Path(__file__).with_name("console.py"))
    command = [str(executable("pictures", "python")), script, url, str(PICTURES), session]
    return subprocess.run(command, env={**os.environ, **given}, check=False).returncode


def draw(name: str, text: str, hidden: tuple[str, ...]) -> None:
    file = PICTURES / f"{name}.svg"
    file.write_text(drawn(text, title=about().name, secrets=hidden))
    print(f"pictures: {file.name}, {file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    sys.exit(main())

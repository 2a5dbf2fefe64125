"""Links of the pages: each leads somewhere, on the site as in the repository.

The site is README.md and what is in docs/. Of any other file it has no more than the path.
"""

import re
from collections.abc import Iterator
from pathlib import Path

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
PICTURE = re.compile(r'\b(src|srcset)="([^":]+)"')
FENCED = re.compile(r"^(```+).*?^\1$", re.MULTILINE | re.DOTALL)
ELSEWHERE = ("http://", "https://", "mailto:")
FRONT = "index.md"


def faults(project: Path, page: Path) -> Iterator[str]:
    """A line for each link that leads to no file of the project."""
    text = FENCED.sub("", page.read_text())
    targets = [found[2] for found in LINK.findall(text)] + [p[1] for p in PICTURE.findall(text)]
    for target in targets:
        if target and not target.startswith(ELSEWHERE) and not (page.parent / target).exists():
            yield f"{page.relative_to(project)}: {target} is not there"


def for_site(project: Path, page: Path, text: str) -> str:
    """The page's text, with links as the site has them."""

    def led(match: re.Match[str]) -> str:
        picture, words, target, anchor = (part or "" for part in match.groups())
        if not target or target.startswith(ELSEWHERE):
            return match[0]
        place = (page.parent / target).resolve()
        if place == project / "README.md":
            return f"[{words}]({FRONT}{anchor})"
        if place.is_relative_to(project / "docs"):
            return f"{picture}[{words}]({place.relative_to(project / 'docs').as_posix()}{anchor})"
        path = place.relative_to(project).as_posix()
        return f"`{path}`" if words.strip("`") == path else f"{words} (`{path}`)"

    def shown(match: re.Match[str]) -> str:
        place = (page.parent / match[2]).resolve().relative_to(project / "docs")
        return f'{match[1]}="{place.as_posix()}"'

    def made(part: str) -> str:
        return PICTURE.sub(shown, LINK.sub(led, part))

    ends, parts = 0, list[str]()
    for fence in FENCED.finditer(text):
        parts += [made(text[ends : fence.start()]), fence[0]]
        ends = fence.end()
    return "".join([*parts, made(text[ends:])])

"""What was built is all there: a page loads nothing from elsewhere, so it opens on a train."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
ONLY_NAMED = {"canonical", "next", "prev", "alternate", "edit"}
FOREIGN = re.compile(r"(https?:)?//")
IN_STYLE = re.compile(r"(?:url\(|@import )\s*['\"]?((?:https?:)?//[^'\")\s]+)")


class Loaded(HTMLParser):
    """What a browser fetches for a page, unasked."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        named = set((given.get("rel") or "").split()) & ONLY_NAMED
        if tag in LOADS and not named and (address := given.get(LOADS[tag])):
            self.addresses.append(address)


def faults(site: Path) -> Iterator[str]:
    """A line for each thing that a page or a style would fetch from another host."""
    for page in sorted(site.rglob("*.html")):
        loaded = Loaded()
        loaded.feed(page.read_text())
        for address in filter(FOREIGN.match, loaded.addresses):
            yield f"{page.relative_to(site)} loads {address}"
    for style in sorted(site.rglob("*.css")):
        for address in IN_STYLE.findall(style.read_text()):
            yield f"{style.relative_to(site)} loads {address}"

"""`python -m tools.docs`: the site, in site/; 1 where a link leads nowhere or a page is not whole.

`--serve` shows it at localhost:8001, and again whenever a page is saved.
"""

import os
import subprocess
import sys
from collections.abc import Iterator

from ..environments import PROJECT, executable, missing
from . import links, offline

SITE = PROJECT / "site"


def main() -> int:
    if why := missing("docs"):
        print(f"docs: MkDocs is not here: {why}")
        return 1
    if "--serve" in sys.argv:
        return mkdocs("serve", "--dev-addr", "localhost:8001")
    if mkdocs("build", "--strict", "--clean", "--site-dir", str(SITE)):
        return 1
    found = list(faults())
    print(*found, sep="\n", end="\n" if found else "")
    if not found:
        print(f"docs: {len(list(SITE.rglob('*.html')))} pages in {SITE.name}/index.html")
    return int(bool(found))


def mkdocs(*words: str) -> int:
    """Its exit code. `--quiet` would let pass what `--strict` is for."""
    command = [str(executable("docs", "python")), "-m", "mkdocs", *words]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=PROJECT, env=environment, check=False).returncode


def faults() -> Iterator[str]:
    for page in sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*.md")]):
        yield from links.faults(PROJECT, page)
    yield from offline.faults(SITE)


if __name__ == "__main__":
    sys.exit(main())

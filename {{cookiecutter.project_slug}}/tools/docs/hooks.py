"""What MkDocs is told beside mkdocs.yml: README.md is the front page, and where links lead."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

from tools.docs.links import FRONT, for_site

PROJECT = Path(__file__).parents[2]


def on_files(files: Any, *, config: Any) -> Any:
    """The front page is the README, so that nothing has to be said twice."""
    text = (PROJECT / "README.md").read_text()
    files.append(File.generated(config, FRONT, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    written = PROJECT / ("README.md" if page.file.src_uri == FRONT else f"docs/{page.file.src_uri}")
    return for_site(PROJECT, written, markdown)

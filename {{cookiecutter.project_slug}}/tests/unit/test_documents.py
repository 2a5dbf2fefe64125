"""What the documents say is so: links lead somewhere, tables name what there is."""

import json
import re
from pathlib import Path

import pytest

from ..factors.catalogue import FACTORS
from tools.docs import links, offline

PROJECT = Path(__file__).parents[2]
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*.md")])
README = (PROJECT / "README.md").read_text()
ROWS = re.findall(r"^\| ((?:[IVX]+|A\d+) .*?) \| (.*?) \| (.*?) \|$", README, re.MULTILINE)
MOST_BYTES = 150_000


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_every_link_leads_to_something(page: Path) -> None:
    assert list(links.faults(PROJECT, page)) == []


def test_every_page_stands_in_the_contents_of_the_site() -> None:
    told = (PROJECT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    named = re.findall(r"([a-z-]+\.md)$", told, re.MULTILINE)
    assert sorted(named) == sorted(
        ["index.md", *(p.name for p in DOCUMENTS if p.parent != PROJECT)]
    )


def test_a_link_to_nothing_is_seen_and_code_is_none(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "[a](gone.md#x) [b](page.md) [c](https://x.example)\n"
        '```\n[d](e.md)\n```\n<img src="gone.png">\n'
    )
    assert list(links.faults(tmp_path, page)) == [
        "page.md: gone.md is not there",
        "page.md: gone.png is not there",
    ]


@pytest.mark.parametrize(
    ("page", "text", "shown"),
    [
        ("README.md", "see [data](docs/data.md#x)", "see [data](data.md#x)"),
        ("README.md", "![up](docs/pictures/up.svg)", "![up](pictures/up.svg)"),
        ("README.md", "[SECURITY.md](SECURITY.md)", "`SECURITY.md`"),
        ("docs/data.md", "[keys](../src/keys.py)", "keys (`src/keys.py`)"),
        ("docs/data.md", "[start](../README.md)", "[start](index.md)"),
        ("README.md", '<img src="docs/pictures/a.png">', '<img src="pictures/a.png">'),
        ("docs/data.md", "[x](#here) [y](https://y.example)", "[x](#here) [y](https://y.example)"),
        ("docs/data.md", "```\n[a](../b)\n```\n[a](../b)", "```\n[a](../b)\n```\na (`b`)"),
    ],
)
def test_on_the_site_a_link_leads_where_it_led(page: str, text: str, shown: str) -> None:
    assert links.for_site(PROJECT, PROJECT / page, text) == shown


def test_what_a_page_would_fetch_from_elsewhere_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<link rel="canonical" href="https://ours.example"><a href="https://x.example">x</a>'
        '<link rel="stylesheet" href="https://cdn.example/a.css"><script src="own.js"></script>'
        '<img src="//cdn.example/b.png">'
    )
    (tmp_path / "a.css").write_text('@import "https://fonts.example/c"; b{background:url(d.png)}')
    assert list(offline.faults(tmp_path)) == [
        "a.html loads https://cdn.example/a.css",
        "a.html loads //cdn.example/b.png",
        "a.css loads https://fonts.example/c",
    ]


def marked(file: Path) -> set[str]:
    """The factors that the tests of a file, or of a folder, are proofs of."""
    files = file.rglob("test_*.py") if file.is_dir() else [file]
    marks = (mark for f in files for mark in re.findall(r"mark\.factor\(([^)]*)\)", f.read_text()))
    return {name for mark in marks for name in re.findall(r'"(\w+)"', mark)}


def test_the_table_names_every_proven_factor_once_and_its_proofs_are_proofs() -> None:
    rows = [(re.findall(r"(?:^|, )([IVX]+|A\d+)\b", row), proofs) for row, _, proofs in ROWS]
    named = [name for names, _ in rows for name in names]
    assert sorted(named) == sorted(marked(PROJECT / "tests") & set(FACTORS))
    for names, proofs in rows:
        for path in re.findall(r"`([^`]+)`", proofs):
            assert marked(PROJECT / path) & set(names), f"{path} proves nothing of {names}"


def test_every_file_that_the_readme_names_is_there() -> None:
    named = re.findall(r"`((?:src|tests|tools|docs|deploy)/[\w./*-]+)`", README)
    assert len(named) > 40
    assert not [path for path in named if not list(PROJECT.glob(path))]


def test_every_picture_is_small_and_asks_nobody_for_anything() -> None:
    asking = re.compile(r"""(?:href=|src=|url\(|@import )["']?https?:""")
    for picture in (PROJECT / "docs" / "pictures").glob("*"):
        assert picture.stat().st_size < MOST_BYTES, picture.name
        if picture.suffix == ".svg":
            assert not asking.search(picture.read_text()), picture.name


def test_the_container_to_develop_in_is_exact_and_calls_chores_that_there_are() -> None:
    told = json.loads((PROJECT / ".devcontainer" / "devcontainer.json").read_text())
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+-3\.\d+-[a-z]+", told["image"])
    chores = re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    commands = f"{told['postCreateCommand']}; {told['postStartCommand']}"
    assert set(re.findall(r"make ([a-z]+)", commands)) <= {*chores, "lists"}
    assert "features" not in told, "each would be one more thing to pin"

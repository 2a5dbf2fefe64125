"""What the README and its pages say is so."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tools import newcomer

from .conftest import FOLDER, ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_BYTES = 150_000


def links(page: Path) -> list[str]:
    """Where a page leads inside the repository."""
    text = re.sub(r"`[^`\n]+`(?!\])", "", page.read_text(encoding="utf-8"))
    found = re.findall(r"\]\(([^)\s#]+)\)", text) + re.findall(r'\b(?:src|srcset)="([^"]+)"', text)
    return [unquote(link) for link in found if not re.match(r"https?:|mailto:", link)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_something(page: Path) -> None:
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


def test_a_link_to_nothing_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](gone.md), [b](https://x.example), ![c](%7B%7Bgone%7D%7D/d.svg)", encoding="utf-8")
    assert links(page) == ["gone.md", "{{gone}}/d.svg"]


def chores(makefile: Path) -> set[str]:
    return set(re.findall(r"(?m)^([a-z]+):.*?##", makefile.read_text(encoding="utf-8")))


def test_the_table_of_chores_names_what_there_is() -> None:
    here, there = chores(ROOT / "Makefile"), chores(ROOT / FOLDER / "Makefile")
    table = README.partition("## Work on the template")[2]
    rows = re.findall(r"(?m)^\| (`make .*?) \| (.*?) ?\| (.*?) ?\|$", table)
    assert len(rows) > 10
    for named, ours, theirs in rows:
        words = set(re.findall(r"make (\w+)", named))
        assert words <= here | there
        assert not ours or words & here, named
        assert not theirs or words & there, named


def test_the_way_of_a_newcomer_is_the_one_that_was_timed_and_adds_up() -> None:
    assert list(newcomer.faults(README)) == []


def test_another_way_or_a_wrong_sum_is_seen() -> None:
    took = {step: float(number) for number, step in enumerate(newcomer.PLAN, 1)}
    table = newcomer.page(took, took, where="2 cores", when="2026-01-02")
    good = newcomer.put(f"{newcomer.BEGIN}\n{newcomer.END}", table)
    assert list(newcomer.faults(good)) == []
    assert list(newcomer.faults(good.replace("| 1.0 |", "| 1.5 |", 1))) == [
        "README.md: the seconds do not add up: run make newcomer"
    ]
    assert "the steps are not those" in next(newcomer.faults(good.replace("`make up`", "`make run`")))


def test_every_picture_is_small_and_asks_nobody_for_anything() -> None:
    pictures = [*(ROOT / "docs" / "pictures").iterdir(), *(ROOT / FOLDER / "docs" / "pictures").glob("*")]
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < MOST_BYTES, picture.name
        if picture.suffix == ".svg":
            asked = re.findall(r"""(?:href=|src=|url\(|@import )["']?https?:""", picture.read_text(encoding="utf-8"))
            assert not asked, picture.name


def test_the_comparison_is_dated_and_says_what_it_looked_at() -> None:
    text = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    assert re.search(r"^Written \d{4}-\d\d-\d\d\.", text, re.MULTILINE)
    (heads,) = re.findall(r"^\| \| this \|(.*)\|$", text, re.MULTILINE)
    (looked,) = re.findall(r"^\| looked at \| – \|(.*)\|$", text, re.MULTILINE)
    assert len(re.findall(r"\]\(https://", heads)) == len(re.findall(r"`[0-9a-f]{7}`, \d{4}-\d\d-\d\d", looked))
    figures = text.partition("## What was measured")[2]
    rows = [row for row in re.findall(r"(?m)^\| (.*) \|$", figures) if "---" not in row][1:]
    assert all(re.search(r"`make (bench|chaos)`|the same", row) for row in rows)

"""The file of a backup: what it says, and that no damage to it goes unseen."""

import io
import json
from gzip import compress, decompress

import pytest

from {{ cookiecutter.package_name }}.adapters import backup
from {{ cookiecutter.package_name }}.adapters.backup import END, Reader, Writer
from {{ cookiecutter.package_name }}.errors import AppError

ROWS = {"events": [b"1\tone\\nline\n", b"2\t\\\\.\n"], "empty": []}


def written() -> bytes:
    file = io.BytesIO()
    writer = Writer(file, schema="0001")
    for name, rows in ROWS.items():
        writer.table(name, ["id", "text"], rows)
    writer.close(numbers={"ids": 7})
    return file.getvalue()


def read(data: bytes) -> tuple[dict[str, bytes], dict[str, object]]:
    reader = Reader(io.BytesIO(data))
    assert reader.head == {"format": 1, "schema": "0001"}
    rows = {section.table: b"".join(section.rows) for section in reader.sections()}
    return rows, reader.tail


def test_what_is_written_is_read_with_its_counts() -> None:
    rows, tail = read(written())
    assert rows == {name: b"".join(rows) for name, rows in ROWS.items()}
    assert (tail["rows"], tail["numbers"]) == ({"events": 2, "empty": 0}, {"ids": 7})


def test_the_file_is_text_that_any_tool_can_show() -> None:
    lines = decompress(written()).splitlines(keepends=True)
    assert json.loads(lines[1]) == {"table": "events", "columns": ["id", "text"]}
    assert lines[2:5] == [*ROWS["events"], END]


def test_pieces_are_bounded_however_many_rows_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "PIECE", 64)
    rows = [b"%d\tsome text\n" % number for number in range(1000)]
    file = io.BytesIO()
    writer = Writer(file)
    writer.table("many", ["id", "text"], iter(rows))
    assert writer.close() == {"many": 1000}
    reader = Reader(io.BytesIO(file.getvalue()))
    (pieces,) = [list(section.rows) for section in reader.sections()]
    assert b"".join(pieces) == b"".join(rows)
    assert max(map(len, pieces)) < 100


def test_no_cut_goes_unseen() -> None:
    whole = written()
    for length in range(len(whole)):
        with pytest.raises(AppError) as caught:
            read(whole[:length])
        assert "\n" not in str(caught.value)


def test_no_changed_byte_goes_unseen() -> None:
    """Ten bytes of the zipped form say nothing about what is in it."""
    whole = written()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        if place in range(3, 10):
            continue
        with pytest.raises(AppError) as caught:
            read(bytes(changed))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"one", b"two", "its checksum is not that of its rows"),
        (b'"ids": 7', b'"ids": 9', "its checksum is not that of its rows"),
        (b'"table": "events"', b'"no table": 1', "'table'"),
        (b'"format": 1', b'"format": 9', "has format 9: take a newer release"),
        (b'{"format"', b"hello", "this is no backup, or a damaged one: Expecting value"),
    ],
)
def test_a_change_before_it_was_zipped_is_said_in_one_line(
    old: bytes, new: bytes, said: str
) -> None:
    text = decompress(written())
    assert old in text
    changed = compress(text.replace(old, new))
    with pytest.raises(AppError, match=said):
        read(changed)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it ends too early"),
        (b"-- PostgreSQL database dump\n", "Not a gzipped file"),
        (written() + b"more", "this is no|it goes on|Not a gzipped file"),
        (written() + written(), "it goes on after its end"),
        (compress(b"[]\n"), "this is no backup"),
    ],
    ids=["empty", "a dump", "trailing", "twice", "no head"],  # zipped at another time it differs
)
def test_what_is_no_backup_is_named_so(data: bytes, said: str) -> None:
    with pytest.raises(AppError, match=said):
        read(data)

"""Events: what is stored today is read for ever."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.session import Session, Thread
from {{ cookiecutter.package_name }}.errors import NewerRelease

from .core import NOW, returned, stored

GOLDEN = Path(__file__).parent / "golden" / "events_v1.jsonl"
LINES = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
KINDS = {kind.model_fields["kind"].default for kind in get_args(get_args(e.AnyEvent)[0])}


def test_the_golden_file_has_every_kind() -> None:
    assert {line["kind"] for line in LINES} == KINDS


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["kind"])
def test_a_stored_event_loses_nothing(line: dict[str, Any]) -> None:
    event = e.read(json.dumps(line), 1)
    now = event.model_dump(mode="json")
    assert {key: now.get(key) for key in line} == line
    assert stored([event]) == [event]


def test_the_golden_history_makes_the_session_that_it_made() -> None:
    events = [e.read(json.dumps(line), 1) for line in LINES]
    thread = Thread.of("s", events)
    session = thread.session
    assert (session.status, session.seq, session.calls, len(session.plan)) == (
        "cancelled",
        33,
        10,
        2,
    )
    assert list(session.open) == ["c10"]
    assert session.usage == e.Usage(
        input_tokens=480, output_tokens=120, cached_tokens=256, cost=Decimal("0.0168")
    )
    assert session.more == e.Budget(steps=5, tokens=1000, cost=Decimal("0.50"), seconds=60)
    assert session.seconds == 13.5
    assert thread.events[0].kind == "model_answered"
    kept = next(line for line in LINES if line["kind"] == "context_compacted")["state"]
    assert set(kept) <= set(Session.model_fields), "what compactions carry is read for ever, too"


@pytest.fixture
def _older_messages() -> Iterator[None]:
    e.UPCASTERS["user_spoke", 1] = lambda data: {**data, "words": data["say"]}
    e.UPCASTERS["user_spoke", 2] = lambda data: {**data, "text": data["words"].title()}
    yield
    del e.UPCASTERS["user_spoke", 1], e.UPCASTERS["user_spoke", 2]


@pytest.mark.usefixtures("_older_messages")
def test_an_old_event_is_read_by_every_upcaster_since() -> None:
    old = {"kind": "user_spoke", "at": NOW.isoformat()}
    assert e.version("user_spoke") == 3
    assert e.version("agent_answered") == 1
    expected = e.UserSpoke(at=NOW, text="Hello")
    assert e.read(json.dumps({**old, "say": "hello"}), 1) == expected
    assert e.read(json.dumps({**old, "words": "hello"}), 2) == expected
    assert e.read(json.dumps({**old, "text": "Hello"}), 3) == expected


def test_what_the_database_would_refuse_is_replaced() -> None:
    """NUL, halves of surrogate pairs, and numbers that are none, however deep."""
    event = returned(
        1, {"k\0": ["\ud83d\ude00", "\ud83d", ("é\0", float("nan"), float("inf"), 1.5)]}
    )
    assert event.result == {"k�": ["😀", "�", ["é�", "nan", "inf", 1.5]]}
    assert e.Call(id="c1", tool="t", arguments={"x": float("-inf")}).arguments == {"x": "-inf"}
    assert stored([event]) == [event]
    for text in ("\0", "\\u0000", "NaN", "Infinity"):
        assert text not in event.model_dump_json()


@pytest.mark.parametrize(
    "more", [{"seconds": "inf"}, {"seconds": "nan"}, {"cost": -1}, {"steps": -1}]
)
def test_no_budget_is_boundless_or_negative(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        e.Budget(**more)


@pytest.mark.parametrize(
    ("data", "stored_as"),
    [
        ({"kind": "user_sang", "song": "la"}, 1),
        ({"kind": "user_spoke", "text": "hi"}, 2),
        ({"kind": "user_spoke", "words": "hi"}, 2),
    ],
)
def test_what_a_newer_release_stored_is_said_to_be_of_one(
    data: dict[str, Any], stored_as: int
) -> None:
    with pytest.raises(NewerRelease, match=f"{data['kind']} {stored_as} is an event of a newer"):
        e.read(json.dumps(data | {"at": NOW.isoformat()}), stored_as)


def test_what_is_damaged_is_not_said_to_be_of_a_newer_release() -> None:
    with pytest.raises(ValidationError):
        e.read(json.dumps({"kind": "user_spoke", "at": NOW.isoformat()}), 1)

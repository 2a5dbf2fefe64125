"""What is told of calls that took long."""

import logging
from datetime import UTC, datetime

import pytest

from {{ cookiecutter.package_name }}.adapters.slow import note_slow_calls
from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.session import Thread

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET = "hunter2"
CALL = e.Call(id="c1", tool="deploy", arguments={"password": SECRET})
EVENTS: list[e.AnyEvent] = [
    e.SessionStarted(at=NOW, agent="a", prompt="v1"),
    e.UserSpoke(at=NOW, text=SECRET),
    e.ModelAnswered(at=NOW, seen=2, model="openai:m", text=SECRET, calls=(CALL,), seconds=61),
    e.ToolRequested(at=NOW, call=CALL),
    e.ToolReturned(at=NOW, call_id="c1", result=SECRET, seconds=62),
    e.ModelAnswered(at=NOW, seen=5, model="openai:m", text=SECRET, seconds=60),
]


def test_only_what_took_longer_is_told_by_its_name_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        note_slow_calls(Thread.of("s1", EVENTS), EVENTS, limit=60)
    told = [(vars(r)["call"], vars(r)["seconds"], vars(r)["session"]) for r in caplog.records]
    assert told == [("openai:m", 61, "s1"), ("deploy", 62, "s1")]
    assert {record.getMessage() for record in caplog.records} == {"slow call"}
    assert SECRET not in str([vars(record) for record in caplog.records])


def test_of_a_call_that_was_compacted_away_the_number_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    note_slow_calls(Thread("s1"), EVENTS[4:5], limit=1)
    assert [vars(record)["call"] for record in caplog.records] == ["c1"]

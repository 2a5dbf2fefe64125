"""The session as people read it."""

from datetime import UTC, datetime

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.history import Stored, exchanges

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
USAGE = e.Usage(input_tokens=5)


def spoke(text: str) -> e.AnyEvent:
    return e.UserSpoke(at=NOW, text=text)


def thought(seen: int) -> e.AnyEvent:
    return e.ModelAnswered(at=NOW, seen=seen, model="m", usage=USAGE)


def answered(text: str) -> e.AnyEvent:
    return e.AgentAnswered(at=NOW, text=text)


def read(*events: e.AnyEvent, after: int = 0) -> list[tuple[str, str | None, int]]:
    stored = [Stored(seq, event) for seq, event in enumerate(events, 1) if seq > after]
    return [(x.message, x.response, x.usage.input_tokens) for x in exchanges(stored)]


def test_each_message_has_its_answer_and_what_that_took() -> None:
    talk = [spoke("a"), thought(1), thought(2), answered("A"), spoke("b"), thought(5)]
    assert read(*talk) == [("a", "A", 10), ("b", None, 5)]


def test_an_answer_is_to_the_last_message_that_the_model_had_seen() -> None:
    talk = [spoke("a"), spoke("b"), thought(1), answered("A"), thought(4), answered("B")]
    assert read(*talk) == [("a", "A", 5), ("b", "B", 5)]
    assert read(*talk[:4], after=1) == [("b", None, 0)]


def test_one_answer_may_be_to_two_messages() -> None:
    talk = [spoke("a"), spoke("b"), thought(2), answered("both")]
    assert read(*talk) == [("a", None, 0), ("b", "both", 5)]


def test_the_last_answer_to_a_message_counts() -> None:
    talk = [spoke("a"), thought(1), answered("soon"), thought(3), answered("now")]
    assert read(*talk) == [("a", "now", 10)]

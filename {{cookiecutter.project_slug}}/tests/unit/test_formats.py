"""The two wire formats, to the letter, and what servers make of them."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.adapters import anthropic, openai
from {{ cookiecutter.package_name }}.adapters.answers import Failure
from {{ cookiecutter.package_name }}.adapters.draft import Draft
from {{ cookiecutter.package_name }}.adapters.providers import (
    FORMATS,
    failure,
    read,
    retry_after,
)
from {{ cookiecutter.package_name }}.agent.events import Usage
from {{ cookiecutter.package_name }}.agent.ports import (
    Offer,
    Replied,
    Request,
    Result,
    Said,
    Wanted,
)

SCHEMA = {"type": "object"}
CALLS = (Wanted("look", {"b": 1, "a": 2}, "c1"), Wanted("$no.tool", "no JSON", "c2"))
REQUEST = Request(
    "Be short.",
    (
        Said("hi"),
        Said("there"),
        Replied(" ", CALLS),
        Result("c1", "look", "one"),
        Result("c2", "look", "two"),
        Said("and?"),
    ),
    (Offer("look", "Look there.", SCHEMA),),
)
CACHED = {"cache_control": {"type": "ephemeral"}}


def hear(module: Any, *events: dict[str, Any]) -> tuple[Draft, list[str]]:
    told: list[str] = []
    draft = Draft(told.append)
    for event in events:
        module.hear(event, draft)
    return draft, told


def delta(reason: str | None = None, **said: object) -> dict[str, Any]:
    return {"choices": [{"delta": said, "finish_reason": reason}]}


def piece(arguments: str = "", *, name: str | None = None, **at: object) -> dict[str, Any]:
    return delta(tool_calls=[{"function": {"name": name, "arguments": arguments}, **at}])


def test_a_request_to_openai() -> None:
    assert openai.body("gpt", REQUEST) == {
        "model": "gpt",
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "hi"},
            {"role": "user", "content": "there"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "look", "arguments": '{"a": 2, "b": 1}'},
                    },
                    {
                        "id": "c2",
                        "type": "function",
                        "function": {"name": "_no_tool", "arguments": '{"not JSON": "no JSON"}'},
                    },
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": "two"},
            {"role": "user", "content": "and?"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [
            {
                "type": "function",
                "function": {"name": "look", "description": "Look there.", "parameters": SCHEMA},
            }
        ],
        "tool_choice": "auto",
    }


def test_a_request_to_anthropic_ends_the_cache_where_it_ends() -> None:
    assert anthropic.body("claude", REQUEST) == {
        "model": "claude",
        "max_tokens": 32_000,
        "system": [{"type": "text", "text": "Be short.", **CACHED}],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "c1", "name": "look", "input": {"b": 1, "a": 2}},
                    {
                        "type": "tool_use",
                        "id": "c2",
                        "name": "_no_tool",
                        "input": {"not JSON": "no JSON"},
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "two"},
                    {"type": "text", "text": "and?", **CACHED},
                ],
            },
        ],
        "stream": True,
        "tools": [{"name": "look", "description": "Look there.", "input_schema": SCHEMA}],
        "tool_choice": {"type": "auto"},
    }


@pytest.mark.parametrize("format_", FORMATS.values())
def test_without_tools_none_are_named(format_: Any) -> None:
    body = format_.body("m", Request("", (Said("hi"),)))
    assert {"tools", "tool_choice", "system"} & set(body) == set()
    assert "system" not in json.dumps(body)


@pytest.mark.parametrize(
    "events",
    [
        [piece('{"at"', index=0, id="x", name="look"), piece(": 3}", index=0)],
        [piece('{"at": 3}', id="x", name="look")],
        [piece('{"at"', index=0, id="x"), piece(": 3}", index=0, id="x", name="look")],
        [piece(index=None, id="x", name="look"), piece('{"at": 3}', index=None)],
    ],
)
def test_a_call_comes_in_any_pieces(events: list[dict[str, Any]]) -> None:
    draft, _ = hear(openai, *events)
    assert draft.reply.calls == (Wanted("look", {"at": 3}, "x"),)


def test_calls_that_all_say_they_are_the_first_are_told_apart() -> None:
    one, two = piece("{}", index=0, id="x", name="a"), piece("{}", index=0, id="y", name="b")
    draft, _ = hear(openai, one, two)
    assert draft.reply.calls == (Wanted("a", {}, "x"), Wanted("b", {}, "y"))


def test_what_holds_nothing_is_passed_over() -> None:
    empty: list[dict[str, Any]] = [
        {},
        {"choices": []},
        {"choices": [{"delta": None}]},
        delta(role="assistant", content=None, tool_calls=None),
        {"choices": [], "usage": None},
    ]
    draft, told = hear(openai, *empty, delta(content="a"), delta("stop", content="b"))
    assert (told, draft.stop, draft.usage) == (["a", "b"], "stop", Usage())


def test_a_refusal_in_words_is_one() -> None:
    draft, told = hear(openai, delta(refusal="I won't"), delta("stop"))
    assert (told, draft.stop) == ([], openai.REFUSAL)


def test_usage_is_counted_where_it_comes_with_the_last_words() -> None:
    counted = {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 5},
    }
    draft, _ = hear(openai, delta("stop", content="a") | {"usage": counted})
    assert draft.usage == Usage(input_tokens=7, output_tokens=3, cached_tokens=5)


def test_anthropic_counts_all_so_far_and_what_it_writes_to_its_cache() -> None:
    began = {"input_tokens": 10, "cache_creation_input_tokens": 20, "output_tokens": 1}
    began |= {"cache_read_input_tokens": 30, "server_tool_use": None}  # type: ignore[dict-item]
    ended = {"output_tokens": 9, "cache_read_input_tokens": None}
    draft, _ = hear(
        anthropic,
        {"type": "message_start", "message": {"usage": began}},
        {"type": "ping"},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": ended},
        {"type": "message_stop"},
    )
    assert draft.usage == Usage(input_tokens=60, output_tokens=9, cached_tokens=30)
    assert (draft.stop, draft.written) == ("end_turn", 20)


def test_what_a_thinking_model_thinks_is_not_its_answer() -> None:
    draft, told = hear(
        anthropic,
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "thinking_delta", "thinking": "hm"},
        },
    )
    assert (told, draft.reply) == ([], Replied(""))


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        ({"type": "overloaded_error", "message": "busy"}, True),
        ({"type": "server_error", "code": None, "message": "busy"}, True),
        ({"type": "invalid_request_error", "message": "busy"}, False),
        ({"type": "x", "code": "insufficient_quota", "message": "busy"}, False),
    ],
)
def test_an_error_in_the_stream_passes_where_its_kind_does(
    error: dict[str, Any], passes: bool
) -> None:
    with pytest.raises(Failure, match=r"^busy$") as caught:
        read(json.dumps({"error": error}), key="hunter2")
    assert caught.value.is_passing is passes


def test_an_event_that_is_no_json_may_be_one_the_next_time() -> None:
    with pytest.raises(Failure, match="no JSON") as caught:
        read("{", key="hunter2")
    assert caught.value.is_passing


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "no such\\n model"}}', "no such model"),
        (b'{"error": "no such model"}', "no such model"),
        (b'{"message": "no such model"}', "no such model"),
        (b"no such model", "no such model"),
        (b"[1]", "[1]"),
        (b'{"error": {"message": "key hunter2 is bad"}}', "key *** is bad"),
        (b"", "it failed"),
    ],
)
def test_what_is_said_of_an_error_is_found_wherever_it_is(body: bytes, said: str) -> None:
    assert str(failure(body, key="hunter2")) == said


def test_the_wait_that_is_asked_for_is_a_number_or_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=90), usegmt=True)
    assert retry_after({"retry-after": "7"}) == 7
    assert 80 < (retry_after({"retry-after": soon}) or 0) <= 90
    assert retry_after({"retry-after": past}) == 0
    for said in ("soon", "-1", "nan", "1e9", ""):
        assert retry_after({"retry-after": said}) is None
    assert retry_after({}) is None


def test_a_name_that_no_tool_can_have_is_one_that_providers_take() -> None:
    names = [Wanted(name, {}).name for name in ("", "functions.deploy", "ä" * 70, "deploy-it_2")]
    assert names == ["_", "functions_deploy", "_" * 64, "deploy-it_2"]

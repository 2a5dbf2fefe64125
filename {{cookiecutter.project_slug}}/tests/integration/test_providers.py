"""The real adapters over HTTP against a scripted provider; all is claimed of both formats."""

import asyncio
import json
import re
import subprocess
import sys
from decimal import Decimal

import pytest

from {{ cookiecutter.package_name }}.agent.ports import (
    Answer,
    Replied,
    Request,
    Result,
    Said,
    Wanted,
)
from {{ cookiecutter.package_name }}.errors import ModelError

from ..asking import HELLO, LOOK, MODELS, REQUEST, Ask
from ..formats import Say
from ..processes import PACKAGE
from ..wire import WORDS, Wire

pytestmark = pytest.mark.xdist_group("models")  # one process of the run imports the SDKs


@pytest.fixture(params=list(MODELS))
def ask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ask:
    return Ask(request.param, monkeypatch)


def test_text_comes_in_pieces_and_whole(ask: Ask) -> None:
    with Wire([HELLO]) as wire:
        answer = ask(wire)
    assert ask.told == list(WORDS)
    assert (answer.text, answer.calls) == ("".join(WORDS), ())
    assert answer.model == MODELS[ask.provider]


@pytest.mark.factor("A1")
def test_arguments_are_an_object_or_the_text_as_it_came(ask: Ask) -> None:
    calls = (("look", '{"at": 3}'), ("look", ""), ("look", '{"at": '), ("look", "[3]"))
    with Wire([Say(text=("I look.",), calls=calls)]) as wire:
        answer = ask(wire)
    assert answer.text == "I look."
    assert answer.calls == (
        Wanted("look", {"at": 3}, "call_0"),
        Wanted("look", {}, "call_1"),
        Wanted("look", '{"at": ', "call_2"),
        Wanted("look", "[3]", "call_3"),
    )


def test_usage_tells_what_came_from_the_cache_and_what_it_cost(ask: Ask) -> None:
    with Wire([Say(text=WORDS, usage=(1000, 400, 200))]) as wire:
        usage = ask(wire).usage
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (1000, 400, 200)
    assert Decimal("0.001") < usage.cost < Decimal("0.01")


def test_a_model_in_no_price_list_costs_nothing(ask: Ask) -> None:
    ask.set("MODEL", f"{ask.provider}:home-grown")
    with Wire([HELLO]) as wire:
        usage = ask(wire).usage
    assert (usage.tokens, usage.cost) == (15, Decimal(0))


def test_what_a_server_does_not_count_is_estimated(ask: Ask) -> None:
    with Wire([Say(text=WORDS, usage=None)]) as wire:
        usage = ask(wire).usage
    assert 10 < usage.input_tokens < 100
    assert 5 < usage.output_tokens < 50


def test_a_conversation_keeps_its_order_and_our_ids(ask: Ask) -> None:
    calls = (Wanted("look", {"at": 1}, "c1"), Wanted("look", {"at": 2}, "c2"))
    results = (Result("c1", "look", "one"), Result("c2", "look", "two"))
    messages = (Said("hi"), Replied(" ", calls), *results, Said("and"), Said("so?"))
    with Wire([HELLO]) as wire:
        ask(wire, Request("Be short.", messages, (LOOK,)))
    body = wire.seen[0].body
    shown = re.findall(r'"(hi| |c1|c2|one|two|and|so\?)"', json.dumps(body["messages"]))
    assert shown == ["hi", "c1", "c2", "c1", "one", "c2", "two", "and", "so?"]
    assert '"Be short."' in json.dumps(body)


@pytest.mark.factor("A1")
def test_tools_are_offered_and_a_call_is_forced_where_it_must_be(ask: Ask) -> None:
    with Wire([HELLO]) as wire:
        ask(wire)
        ask(wire, Request("", REQUEST.messages, (LOOK,), must_call=True))
    free, forced = (seen.body for seen in wire.seen)
    name = "function" if ask.provider == "openai" else "name"
    assert "Look there." in json.dumps(free["tools"])
    assert (name in free["tools"][0], len(free["tools"])) == (True, 1)
    auto, must = ("auto", "required") if ask.provider == "openai" else ("auto", "any")
    choices = (free["tool_choice"], forced["tool_choice"])
    assert [c if isinstance(c, str) else c["type"] for c in choices] == [auto, must]


def test_the_temperature_is_sent_where_it_is_set(ask: Ask) -> None:
    with Wire([HELLO]) as wire:
        ask(wire)
        ask.set("MODEL_TEMPERATURE", "0.3")
        ask(wire)
    assert [seen.body.get("temperature") for seen in wire.seen] == [None, 0.3]


def test_models_of_one_provider_share_a_client_and_its_connection(ask: Ask) -> None:
    ask.set("WORKER_CONCURRENCY", "1")
    ask.set("MODEL_FALLBACKS", f"{ask.provider}:other")
    with Wire([Say(status=400), HELLO]) as wire:
        ask(wire)
    assert (len(wire.seen), wire.connections) == (2, 1)


def test_more_wait_at_once_than_a_client_would_let(ask: Ask) -> None:
    ask.set("WORKER_CONCURRENCY", "1")

    async def all_of_them(wire: Wire) -> list[Answer]:
        runtime = ask.runtime(wire.url)
        asked = (runtime.answer(REQUEST, on_text=list[str]().append) for _ in range(wire.together))
        answers = await asyncio.gather(*asked)
        await runtime.close()
        return answers

    with Wire([HELLO], together=120) as wire:
        answers = asyncio.run(all_of_them(wire))
    assert {answer.text for answer in answers} == {"".join(WORDS)}
    assert len(wire.seen) == 120


def test_a_closed_runtime_asks_nobody(ask: Ask) -> None:
    async def too_late(wire: Wire) -> None:
        runtime = ask.runtime(wire.url)
        await runtime.close()
        await runtime.answer(REQUEST, on_text=print)

    with Wire([HELLO]) as wire, pytest.raises((ModelError, RuntimeError)):
        asyncio.run(too_late(wire))
    assert not wire.seen


def test_a_server_of_ones_own_needs_no_key(ask: Ask) -> None:
    ask.key("")
    with Wire([HELLO]) as wire:
        assert ask(wire).text == "".join(WORDS)


def test_an_sdk_is_imported_only_where_its_model_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Ask("openai", monkeypatch)
    source = f"""
import sys
from {PACKAGE}.adapters.runtime import make_model
from {PACKAGE}.settings import Settings
sdks = set("pydantic_ai openai anthropic".split())
print(*sdks & set(sys.modules), "then", end=" ")
make_model(Settings.load())
print(*sorted(sdks & set(sys.modules)))
"""
    python = [sys.executable, "-c", source]
    loaded = subprocess.run(python, capture_output=True, text=True, timeout=60, check=True)
    assert loaded.stdout.split() == ["then", "openai", "pydantic_ai"]

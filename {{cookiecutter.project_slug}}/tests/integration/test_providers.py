"""The real adapters over HTTP against a scripted provider; all is claimed of both formats."""

import asyncio
import json
from decimal import Decimal

import pytest

from {{ cookiecutter.package_name }}.adapters.caps import Uncapped
from {{ cookiecutter.package_name }}.adapters.runtime import make_model
from {{ cookiecutter.package_name }}.agent.ports import Answer, Request, Wanted
from {{ cookiecutter.package_name }}.entrypoints.commands.doctor import examine_models
from {{ cookiecutter.package_name }}.errors import ConfigError, ModelError
from {{ cookiecutter.package_name }}.settings import Settings

from ..asking import HELLO, KEY, LOOK, MODELS, REQUEST, Ask
from ..conftest import SECRET
from ..formats import Say
from ..wire import WORDS, Wire
from tools.stack import free_port


@pytest.fixture(params=list(MODELS))
def ask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ask:
    return Ask(request.param, monkeypatch)


@pytest.mark.factor("IV")
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


def test_a_model_in_no_price_list_costs_nothing_and_is_named_once(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    ask.set("MODEL", f"{ask.provider}:home-grown")
    with Wire([HELLO]) as wire:
        usage = ask(wire).usage
        ask(wire)
    assert (usage.tokens, usage.cost) == (15, Decimal(0))
    assert caplog.messages == ["model is in no price list"]


def test_what_a_server_does_not_count_is_estimated(ask: Ask) -> None:
    with Wire([Say(text=WORDS, usage=None)]) as wire:
        usage = ask(wire).usage
    assert 10 < usage.input_tokens < 100
    assert 5 < usage.output_tokens < 50


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


def test_more_wait_at_once_than_a_client_would_let(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Ask("openai", monkeypatch)
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


@pytest.mark.factor("IV")
def test_a_server_of_ones_own_needs_no_key(ask: Ask) -> None:
    ask.key("")
    with Wire([HELLO]) as wire:
        assert ask(wire).text == "".join(WORDS)


@pytest.mark.factor("IV")
@pytest.mark.parametrize(
    "fault",
    [
        Say(status=503),
        Say(cut_after=0),
        Say(text=WORDS, cut_after=2),
        Say(text=WORDS, stops=None),
        *(Say(status=status) for status in (408, 409, 429, 529)),
    ],
    ids=lambda say: f"{say.status}-{say.cut_after}-{say.stops}",
)
def test_what_may_pass_is_tried_again(ask: Ask, fault: Say) -> None:
    with Wire([fault, HELLO]) as wire:
        answer = ask(wire)
    assert answer.text == "".join(WORDS)
    assert len(wire.seen) == 2
    assert ask.told[-len(WORDS) :] == list(WORDS)


def test_only_we_repeat(ask: Ask) -> None:
    with Wire([Say(status=500, error="out of order")]) as wire:
        assert ask.fails(wire) == "HTTP 500, out of order"
    assert len(wire.seen) == 4


def test_a_server_that_is_not_there_is_one_line(ask: Ask) -> None:
    wire = Wire(port=free_port())
    assert ask.fails(wire) == "the connection failed: All connection attempts failed"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_will_not_pass_is_one_line_without_the_key(ask: Ask, status: int) -> None:
    with Wire([Say(status=status, error=f"no\n good: {KEY} {'x' * 184} {KEY}")]) as wire:
        why = ask.fails(wire)
    refused = "the key is refused, or may not use this model"
    said = refused if status in {401, 403} else f"no good: *** {'x' * 184} **"
    assert why == f"HTTP {status}, {said}"
    assert len(wire.seen) == 1


def test_a_quota_that_is_used_up_does_not_come_back_by_waiting(ask: Ask) -> None:
    code = "insufficient_quota" if ask.provider == "openai" else "billing_error"
    with Wire([Say(status=429, code=code)]) as wire:
        assert ask.fails(wire) == "HTTP 429, so it is scripted"
    assert len(wire.seen) == 1


def test_a_refusal_leads_to_the_next_model(ask: Ask) -> None:
    is_openai = ask.provider == "openai"
    stops, other = ("content_filter", "anthropic") if is_openai else ("refusal", "openai")
    ask.set("MODEL_FALLBACKS", MODELS[other])
    with Wire([Say(stops=stops), HELLO]) as wire:
        assert ask(wire).model == MODELS[other]


def test_half_an_answer_is_none(ask: Ask) -> None:
    stops = "length" if ask.provider == "openai" else "max_tokens"
    with Wire([Say(text=WORDS, stops=stops)]) as wire:
        assert ask.fails(wire) == "its answer was cut off at the most that it says at once"
    assert len(wire.seen) == 1


def test_what_is_no_answer_may_be_one_the_next_time(ask: Ask) -> None:
    odd = {"choices": ["x"], "type": "content_block_start", "index": 0, "content_block": {}}
    with Wire([Say(raw=f"data: {json.dumps(odd)}\n\n"), HELLO]) as wire:
        assert ask(wire).text == "".join(WORDS)
    assert len(wire.seen) == 2


def test_the_wait_that_is_asked_for_is_kept(ask: Ask) -> None:
    busy = Say(status=429, headers=(("Retry-After", "7"),))
    slept: list[float] = []

    async def answer(wire: Wire) -> Answer:
        runtime = ask.runtime(wire.url)

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            runtime.cap = Uncapped()

        runtime.sleep = sleep
        answer = await runtime.answer(REQUEST, on_text=print)
        await runtime.close()
        return answer

    with Wire([busy, HELLO]) as wire:
        assert asyncio.run(answer(wire)).text == "".join(WORDS)
    assert slept == [7]


def test_one_that_hangs_leaves_time_for_the_next(ask: Ask) -> None:
    ask.set("MODEL_TIMEOUT", "1")
    ask.set("MODEL_FALLBACKS", f"{ask.provider}:other")
    with Wire([Say(hangs=True), HELLO]) as wire:
        assert ask(wire).model == f"{ask.provider}:other"


def test_the_provider_itself_needs_its_key(ask: Ask) -> None:
    ask.key("")
    with pytest.raises(ConfigError) as caught:
        make_model(Settings.load())
    variable = f"{ask.provider.upper()}_API_KEY"
    fault = f"MODEL={MODELS[ask.provider]} is not usable: it needs {variable}, which is not set"
    assert str(caught.value) == fault


def test_a_key_that_can_be_none_is_named_but_not_shown(ask: Ask) -> None:
    ask.key(f"{KEY}\n")
    with pytest.raises(ConfigError) as caught:
        make_model(Settings.load())
    assert f"{ask.provider.upper()}_API_KEY holds a blank" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "faults"),
    [
        ({}, []),
        ({"MODEL": "openai:own", "OPENAI_BASE_URL": "http://models:8000/v1"}, []),
        (
            {"MODEL": "nobody:x", "MODEL_FALLBACKS": "openai:gpt-5.2"},
            ["MODEL=nobody:x is not usable: ", "needs OPENAI_API_KEY, which is not set"],
        ),
    ],
)
def test_the_doctor_says_which_model_can_not_be_used(
    environment: dict[str, str], faults: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"DATABASE_URL": "embedded:", "SECRET_KEY": SECRET, "MODEL": "scripted:echo"}
    for name, value in {**own, **environment}.items():
        monkeypatch.setenv(name, value)
    wrong = [finding.words for finding in examine_models(Settings.load()) if finding.is_wrong]
    assert len(wrong) == len(faults)
    assert all(fault in words for fault, words in zip(faults, wrong, strict=True))

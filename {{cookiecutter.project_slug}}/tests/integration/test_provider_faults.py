"""What goes wrong with providers, over HTTP; all is claimed of both formats."""

import asyncio

import pytest

from {{ cookiecutter.package_name }}.adapters.caps import Uncapped
from {{ cookiecutter.package_name }}.adapters.runtime import make_model
from {{ cookiecutter.package_name }}.agent.ports import Answer
from {{ cookiecutter.package_name }}.errors import ConfigError
from {{ cookiecutter.package_name }}.settings import Settings

from ..asking import HELLO, KEY, MODELS, REQUEST, Ask
from ..formats import Say
from ..processes import free_port
from ..wire import WORDS, Wire


@pytest.fixture(params=list(MODELS))
def ask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ask:
    return Ask(request.param, monkeypatch)


@pytest.mark.parametrize(
    "fault",
    [
        Say(status=408),
        Say(status=409),
        Say(status=429),
        Say(status=500),
        Say(status=503),
        Say(status=529),
        Say(cut_after=0),
        Say(text=WORDS, cut_after=2),
        Say(text=WORDS, stops=None),
    ],
    ids=lambda say: f"{say.status}-{say.cut_after}-{say.stops}",
)
def test_what_may_pass_is_tried_again(ask: Ask, fault: Say) -> None:
    with Wire([fault, HELLO]) as wire:
        answer = ask(wire)
    assert answer.text == "".join(WORDS)
    assert len(wire.seen) == 2
    assert ask.told[-len(WORDS) :] == list(WORDS)


def test_what_was_broken_off_is_followed_by_a_blank_line(ask: Ask) -> None:
    with Wire([Say(text=WORDS, cut_after=2), HELLO]) as wire:
        ask(wire)
    assert ask.told == ["Hello", " from", "\n\n", *WORDS]


def test_only_we_repeat(ask: Ask) -> None:
    with Wire([Say(status=500, error="out of order")]) as wire:
        assert ask.fails(wire) == "HTTP 500, out of order"
    assert len(wire.seen) == 4


def test_a_server_that_is_not_there_is_one_line(ask: Ask) -> None:
    wire = Wire(port=free_port())
    assert ask.fails(wire) == "Connection error."


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
    stops = "content_filter" if ask.provider == "openai" else "refusal"
    ask.set("MODEL_FALLBACKS", f"{ask.provider}:other")
    with Wire([Say(stops=stops), HELLO]) as wire:
        assert ask(wire).model == f"{ask.provider}:other"


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


def test_a_wait_that_is_too_long_leads_to_the_next_model_at_once(ask: Ask) -> None:
    other = MODELS["openai" if ask.provider == "anthropic" else "anthropic"]
    ask.set("MODEL_FALLBACKS", other)
    with Wire([Say(status=429, headers=(("Retry-After", "30"),)), HELLO]) as wire:
        assert ask(wire).model == other
    assert len(wire.seen) == 2


def test_one_that_hangs_leaves_time_for_the_next(ask: Ask) -> None:
    ask.set("MODEL_TIMEOUT", "2")
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

"""The model runtime against the clock: who is asked, when, and how often."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from {{ cookiecutter.package_name }} import agents
from {{ cookiecutter.package_name }}.adapters.answers import Failure
from {{ cookiecutter.package_name }}.adapters.caps import LONGEST, Uncapped
from {{ cookiecutter.package_name }}.adapters.runtime import Cap, Runtime, make_model
from {{ cookiecutter.package_name }}.agent.events import Usage
from {{ cookiecutter.package_name }}.agent.ports import Answer, Request, Said
from {{ cookiecutter.package_name }}.errors import ConfigError, ModelError
from {{ cookiecutter.package_name }}.settings import Settings

from ..conftest import SECRET

REQUEST = Request("", (Said("hi"),))
SECONDS = 100.0


@dataclass
class Clock:
    """Time passes only where somebody sleeps."""

    now: float = 0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


@dataclass
class FakeModel:
    """Does one thing after the other, and the last for ever: says a text, fails, or hangs."""

    name: str
    does: list[str | ModelError | None]
    clock: Clock = field(default_factory=Clock)
    takes: float = 0
    asked: int = 0

    async def answer(self, request: Request, *, on_text: Callable[[str], None]) -> Answer:
        act = self.does[min(self.asked, len(self.does) - 1)]
        self.asked += 1
        self.clock.now += self.takes
        if isinstance(act, ModelError):
            on_text("I was just")
            raise act
        if act is None:
            await asyncio.Event().wait()
        on_text(act or "")
        return Answer(act or "", (), Usage(), self.name)


@dataclass
class FakeCap:
    """Counts the slots that are taken, and remembers who is to be left alone."""

    taken: int = 0
    cooled: list[tuple[str, float]] = field(default_factory=list)

    @asynccontextmanager
    async def slot(self, model: str) -> AsyncIterator[None]:
        self.taken += 1
        yield
        self.taken -= 1

    def cool_down(self, model: str, seconds: float) -> None:
        self.cooled.append((model, seconds))


def passing(retry_after: float | None = None) -> Failure:
    return Failure("HTTP 503", is_passing=True, retry_after=retry_after)


LASTING = Failure("HTTP 400")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass
class Asked:
    answer: Answer
    told: str
    failed: list[str]


def ask(
    clock: Clock,
    *models: FakeModel,
    seconds: float = SECONDS,
    random: float = 1.0,
    cap: Cap | None = None,
) -> Asked:
    told, failed = list[str](), list[str]()
    runtime = Runtime(
        models=models,
        seconds=seconds,
        cap=cap or Uncapped(clock),
        clock=clock,
        sleep=clock.sleep,
        random=lambda: random,
        on_failure=failed.append,
    )
    answer = asyncio.run(runtime.answer(REQUEST, on_text=told.append))
    return Asked(answer, "".join(told), failed)


def test_where_the_first_answers_nobody_else_is_asked(clock: Clock) -> None:
    first, second = FakeModel("a:1", ["yes"]), FakeModel("b:2", ["no"])
    asked = ask(clock, first, second)
    assert (asked.answer.text, asked.answer.model, asked.told) == ("yes", "a:1", "yes")
    assert (first.asked, second.asked, clock.slept) == (1, 0, [])


def test_what_may_pass_is_tried_again_after_waits_that_double(clock: Clock) -> None:
    model = FakeModel("a:1", [passing(), passing(), passing(), "yes"])
    asked = ask(clock, model)
    assert (asked.answer.text, asked.failed) == ("yes", ["a:1"] * 3)
    assert clock.slept == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("random", [0.0, 0.25, 0.75])
def test_the_jitter_is_full(clock: Clock, random: float) -> None:
    ask(clock, FakeModel("a:1", [passing(), passing(), "yes"]), random=random)
    assert clock.slept == [0.5 * random, 1.0 * random]


def test_after_four_tries_the_next_is_asked(clock: Clock) -> None:
    first, second = FakeModel("a:1", [passing()]), FakeModel("b:2", ["yes"])
    assert ask(clock, first, second).answer.model == "b:2"
    assert (first.asked, second.asked, len(clock.slept)) == (4, 1, 3)


@pytest.mark.parametrize("failure", [LASTING, ModelError("the script says so")])
def test_what_will_not_pass_is_not_tried_again(clock: Clock, failure: ModelError) -> None:
    first, second = FakeModel("a:1", [failure]), FakeModel("b:2", ["yes"])
    assert ask(clock, first, second).answer.model == "b:2"
    assert (first.asked, clock.slept) == (1, [])


def test_when_nobody_answers_one_line_says_why_of_each(clock: Clock) -> None:
    with pytest.raises(ModelError) as caught:
        ask(clock, FakeModel("a:1", [LASTING]), FakeModel("b:2", [passing()]))
    assert str(caught.value) == "a:1: HTTP 400; b:2: HTTP 503"


def test_the_shortest_wait_that_was_asked_for_outlasts_the_call(clock: Clock) -> None:
    models = [
        FakeModel(f"a:{n}", [does]) for n, does in enumerate((passing(90), LASTING, passing(80)))
    ]
    with pytest.raises(ModelError) as caught:
        ask(clock, *models)
    assert caught.value.retry_after == 80
    with pytest.raises(ModelError) as caught:
        ask(clock, FakeModel("a:1", [LASTING]))
    assert caught.value.retry_after is None


def test_the_wait_that_a_provider_asks_for_is_kept_with_a_jitter_on_top(clock: Clock) -> None:
    cap = FakeCap()
    assert ask(clock, FakeModel("a:1", [passing(7), "yes"]), cap=cap).answer.text == "yes"
    assert clock.slept == [7.5]
    assert cap.cooled == [("a:1", 7)]


def test_a_wait_longer_than_its_part_of_the_time_leads_to_the_next_at_once(clock: Clock) -> None:
    first, second = FakeModel("a:1", [passing(SECONDS / 2)]), FakeModel("b:2", ["yes"])
    assert ask(clock, first, second).answer.model == "b:2"
    assert (first.asked, clock.slept) == (1, [])


def test_a_wait_longer_than_all_the_time_fails_at_once(clock: Clock) -> None:
    with pytest.raises(ModelError):
        ask(clock, FakeModel("a:1", [passing(SECONDS)]))
    assert clock.now == 0


def test_the_last_has_all_the_time_that_is_left(clock: Clock) -> None:
    first = FakeModel("a:1", [LASTING], clock, takes=10)
    assert ask(clock, first, FakeModel("b:2", [passing(80), "yes"])).answer.model == "b:2"
    assert clock.slept == [80.5]


def test_no_try_begins_after_the_time_is_up(clock: Clock) -> None:
    model = FakeModel("a:1", [passing()], clock, takes=SECONDS / 2)
    with pytest.raises(ModelError):
        ask(clock, model)
    assert model.asked == 2


def test_one_that_hangs_leaves_time_for_the_next() -> None:
    models = FakeModel("a:1", [None]), FakeModel("b:2", ["yes"])
    runtime = Runtime(models=models, seconds=0.1)
    answer = asyncio.run(runtime.answer(REQUEST, on_text=print))
    assert answer.model == "b:2"


def test_where_all_hang_time_is_up_when_it_is_up() -> None:
    clock = Clock()
    models = [FakeModel(name, [None], clock, takes=0.05) for name in ("a:1", "b:2")]
    runtime = Runtime(models=models, seconds=0.1, clock=clock)
    with pytest.raises(ModelError, match=r"^a:1: no answer within 0.05 s; b:2: no answer within"):
        asyncio.run(runtime.answer(REQUEST, on_text=print))
    assert [model.asked for model in models] == [1, 1]


@pytest.mark.parametrize("does", [[passing(), "It is so."], [LASTING]])
def test_a_blank_line_parts_a_new_beginning_from_what_was_broken_off(
    clock: Clock, does: list[str | ModelError | None]
) -> None:
    asked = ask(clock, FakeModel("a:1", does), FakeModel("b:2", ["It is so."]))
    assert asked.told == "I was just\n\nIt is so."
    assert asked.answer.text == "It is so."


def test_a_slot_is_held_while_a_model_is_asked_and_at_no_other_time(clock: Clock) -> None:
    cap, held = FakeCap(), list[int]()

    class Watched(FakeModel):
        async def answer(self, request: Request, *, on_text: Callable[[str], None]) -> Answer:
            held.append(cap.taken)
            return await super().answer(request, on_text=on_text)

    model = Watched("a:1", ["yes"])
    for _ in range(2):
        ask(clock, model, cap=cap)
        held.append(cap.taken)
    assert held == [1, 0, 1, 0]


def test_a_model_that_cools_down_is_asked_by_nobody_meanwhile(clock: Clock) -> None:
    cap = Uncapped(clock)
    cap.cool_down("a:1", 20)
    cooling, other = FakeModel("a:1", ["yes"]), FakeModel("a:2", ["yes"])
    ask(clock, other, cap=cap)
    assert clock.now == 0, "another of the same provider is free"
    ask(clock, cooling, cap=cap)
    assert clock.slept == [20.5]
    assert cooling.asked == 1


def test_no_provider_holds_everybody_up_for_long(clock: Clock) -> None:
    cap = Uncapped(clock)
    cap.cool_down("a:1", 1e9)
    ask(clock, FakeModel("a:1", ["yes"]), cap=cap, seconds=2 * LONGEST)
    assert clock.slept == [LONGEST + 0.5]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@db.example/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    return monkeypatch


@pytest.mark.parametrize(
    "value", ["gpt-5.2", "opanai:gpt-5.2", "openai:", "scripted:", ":x", "Scripted:release"]
)
def test_a_model_that_is_none_is_named_with_what_it_may_be(
    environment: pytest.MonkeyPatch, value: str
) -> None:
    environment.setenv("MODEL", value)
    with pytest.raises(ConfigError) as caught:
        make_model(Settings.load())
    (fault,) = caught.value.faults
    assert fault.startswith(f"MODEL={value} is not usable: expected scripted:NAME, openai:NAME")


def test_where_no_model_is_named_the_script_of_the_default_agent_plays_it(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("DEFAULT_AGENT", "echo")
    assert [model.name for model in make_model(Settings.load()).models] == ["scripted:echo"]


def test_without_an_agent_a_worker_starts_and_waits_for_the_first(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setattr(agents, "__path__", [])
    assert [model.name for model in make_model(Settings.load()).models] == ["scripted:nobody"]


def test_every_faulty_model_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MODEL", "scripted:nobody")
    environment.setenv("MODEL_FALLBACKS", "what, ,scripted:nobody?seconds=x")
    with pytest.raises(ConfigError) as caught:
        make_model(Settings.load())
    assert [fault.partition(" is not usable: ")[0] for fault in caught.value.faults] == [
        "MODEL=scripted:nobody",
        "MODEL_FALLBACKS=what",
        "MODEL_FALLBACKS=scripted:nobody?seconds=x",
    ]
    assert "the scripts are" in caught.value.faults[0]

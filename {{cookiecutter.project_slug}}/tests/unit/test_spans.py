"""Spans: what is part of what, what leaves of it, and what never does."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    DEFAULT_ON,
    ParentBasedTraceIdRatio,
    Sampler,
)

from {{ cookiecutter.package_name }}.agent.events import Usage
from {{ cookiecutter.package_name }}.agent.ports import (
    Answer,
    Offer,
    Replied,
    Request,
    Result,
    Said,
    Wanted,
)
from {{ cookiecutter.package_name }}.agent.tools import Context, ToolError, tool
from {{ cookiecutter.package_name }}.bootstrap import make_tracer
from {{ cookiecutter.package_name }}.errors import ModelError
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.telemetry.otlp import Frame, encode, framed, sampled_by
from {{ cookiecutter.package_name }}.telemetry.spans import (
    CLIENT,
    Remote,
    Span,
    Tracer,
    Value,
    current,
    traceparent,
    within,
)
from {{ cookiecutter.package_name }}.telemetry.traced import TracedModel, trace_slices, trace_tools

from ..collector import Exported, read
from ..conftest import SECRET
from .core import make_agent
from .test_engine import World, calls

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
REQUEST = Request(
    "CANARY-prompt",
    (
        Said("CANARY-message"),
        Replied("CANARY-text", (Wanted("look", {"place": "CANARY-given"}, "c1"),)),
        Result("c1", "look", "CANARY-result"),
    ),
    (Offer("look", "CANARY-description", {"title": "CANARY-schema"}),),
)


@dataclass
class Recorded:
    """A tracer, and what it would export, as a collector reads it."""

    has_content: bool = False
    ended: list[Span] = field(default_factory=list)
    sampler: Sampler = DEFAULT_ON

    def __post_init__(self) -> None:
        self.tracer = Tracer(
            emit=lambda span: self.ended.extend(span.all()),
            is_sampled=sampled_by(self.sampler),
            close=lambda: None,
            has_content=self.has_content,
        )

    @property
    def sent(self) -> bytes:
        return Frame(Resource({"service.name": "tests"})).around(map(encode, self.ended))

    @property
    def seen(self) -> list[Exported]:
        return read(self.sent)


@dataclass
class FakeModel:
    says: Answer | Exception
    name: str = "openai:gpt-x"

    async def answer(self, request: Request, *, on_text: Callable[[str], None]) -> Answer:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def ask(recorded: Recorded, says: Answer | Exception) -> Answer:
    model = TracedModel(FakeModel(says), recorded.tracer)
    assert model.name == "openai:gpt-x"
    return asyncio.run(model.answer(REQUEST, on_text=lambda _: None))


def test_a_span_is_part_of_the_one_around_it_and_that_of_the_callers_trace() -> None:
    recorded = Recorded()
    with recorded.tracer.span("outer", traceparent=CALLER) as outer:
        assert traceparent() == outer.traceparent
        with recorded.tracer.span("inner", CLIENT, {"n": 1}):
            assert current.get() is not outer
    assert traceparent() == ""
    first, second = recorded.seen
    assert (first.name, first.parent) == ("outer", "b7ad6b7169203331")
    assert (second.name, second.parent) == ("inner", first.id)
    assert {first.trace_id, second.trace_id} == {"0af7651916cd43dd8448eb211c80319c"}
    assert (second.kind, second.attributes, second.failed) == (CLIENT, {"n": 1}, False)
    assert first.resource == {"service.name": "tests"}
    assert 0 <= second.seconds <= first.seconds < 1


def test_nothing_is_handed_on_before_what_it_is_part_of() -> None:
    """Who is killed between the two has told of neither."""
    recorded = Recorded()
    with recorded.tracer.span("step"):
        with recorded.tracer.span("chat"), recorded.tracer.span("try"):
            pass
        assert recorded.ended == []
    assert [span.name for span in recorded.ended] == ["step", "chat", "try"]


def test_what_ends_later_than_the_span_it_is_part_of_waits_with_it() -> None:
    recorded = Recorded()
    with recorded.tracer.span("request"):
        claim = recorded.tracer.span("claim").end()
        with within(claim), recorded.tracer.span("step"):
            pass
        assert recorded.ended == []
    with within(claim), recorded.tracer.span("late"):
        pass
    assert [span.name for span in recorded.ended] == ["request", "claim", "step", "late"]


def test_of_what_is_not_sampled_nothing_is_kept() -> None:
    recorded = Recorded(sampler=ALWAYS_OFF)
    with recorded.tracer.span("request") as request:
        claim = recorded.tracer.span("claim").end()
        with within(claim), recorded.tracer.span("step"):
            pass
    assert (recorded.ended, request.waiting, claim.waiting) == ([], [], [])


def test_what_goes_on_after_a_span_has_ended_is_still_part_of_it() -> None:
    recorded = Recorded()
    claim = recorded.tracer.span("claim").end()
    claim.shared = (("gen_ai.conversation.id", "s"),)
    with within(claim), recorded.tracer.span("step"):
        pass
    first, second = recorded.seen
    assert second.parent == first.id
    assert first.attributes == second.attributes == {"gen_ai.conversation.id": "s"}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        CALLER[:-1],
        CALLER + "x",
        CALLER.replace("00-", "ff-", 1),
        CALLER.upper(),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
    ],
)
def test_what_is_no_traceparent_begins_a_trace_of_its_own(header: str) -> None:
    assert Remote.read(header) is None
    recorded = Recorded()
    with recorded.tracer.span("root", traceparent=header):
        pass
    assert recorded.seen[0].parent == ""
    assert int(recorded.seen[0].trace_id, 16)


def test_the_caller_decides_on_sampling_and_the_sampler_where_there_is_none() -> None:
    recorded = Recorded()
    with recorded.tracer.span("asked", traceparent=CALLER[:-1] + "0") as span:
        assert span.traceparent.endswith("-00")
        with recorded.tracer.span("below"):
            pass
    assert not recorded.ended
    off = Recorded(sampler=ALWAYS_OFF)
    with off.tracer.span("asked", traceparent=CALLER):
        pass
    assert not off.ended
    half = Recorded(sampler=ParentBasedTraceIdRatio(0.5))
    for _ in range(400):
        with half.tracer.span("root", traceparent=""), half.tracer.span("below"):
            pass
    roots = [span for span in half.seen if not span.parent]
    assert 100 < len(roots) < 300
    assert len(half.ended) == 2 * len(roots)


def test_a_failure_is_told_by_its_type_alone() -> None:
    recorded = Recorded()
    with pytest.raises(ModelError):
        ask(recorded, ModelError("CANARY in the provider's words"))
    (span,) = recorded.seen
    assert span.failed
    assert span.attributes["error.type"] == "ModelError"
    assert b"CANARY" not in recorded.sent


ANSWER = Answer(
    "CANARY-answer",
    (Wanted("look", {"place": "CANARY-place"}),),
    Usage(input_tokens=120, output_tokens=7, cached_tokens=64),
    "openai:gpt-x",
)


def test_a_model_call_is_told_without_its_content() -> None:
    recorded = Recorded()
    assert ask(recorded, ANSWER) is ANSWER
    (span,) = recorded.seen
    assert (span.name, span.kind) == ("chat gpt-x", CLIENT)
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.response.model": "gpt-x",
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 64,
    }
    assert b"CANARY" not in recorded.sent


def test_its_content_is_told_where_that_is_asked_for() -> None:
    recorded = Recorded(has_content=True)
    ask(recorded, ANSWER)
    told = recorded.sent.decode(errors="replace")
    for part in ("prompt", "message", "text", "given", "result", "schema", "answer", "place"):
        assert f"CANARY-{part}" in told, part


@tool
async def whisper(text: str, context: Context) -> str:
    """Repeats it."""
    if text == "CANARY-bad":
        raise ToolError(f"not {text}")
    return f"{text} in {context.session_id}"


@pytest.mark.parametrize("has_content", [False, True])
def test_a_tool_call_is_told_by_name_and_id(*, has_content: bool) -> None:
    recorded = Recorded(has_content=has_content)
    agent = trace_tools({"a": make_agent(whisper)}, recorded.tracer)["a"]
    traced = agent.tool("whisper")
    assert traced.offer == whisper.offer
    result = asyncio.run(traced.call({"text": "CANARY"}, Context("s", "s:c7")))
    assert result == "CANARY in s"
    with pytest.raises(ToolError):
        asyncio.run(traced.call({"text": "CANARY-bad"}, Context("s", "s:c8")))
    good, bad = recorded.seen
    assert good.name == "execute_tool whisper"
    assert good.attributes["gen_ai.operation.name"] == "execute_tool"
    assert good.attributes["gen_ai.tool.name"] == "whisper"
    assert good.attributes["gen_ai.tool.call.id"] == "c7"
    assert (bad.failed, bad.attributes["error.type"]) == (True, "ToolError")
    assert (b"CANARY" in recorded.sent) is has_content


@pytest.mark.parametrize(
    "value", ["text", "x" * 1000, "ä" * 40, 0, -3, 2**40, 1.5, True, ("a", "b"), ()]
)
def test_every_value_arrives_as_it_was(value: str | float | tuple[str, ...]) -> None:
    recorded = Recorded()
    with recorded.tracer.span("x", attributes={"value": value}):
        pass
    expected = list(value) if isinstance(value, tuple) else value
    (span,) = recorded.seen
    assert span.attributes == {"value": expected}
    assert type(span.attributes["value"]) is type(expected)


def test_steps_are_part_of_the_message_in_whatever_process_they_are_done() -> None:
    """The first is gone in the middle of its third: of that nothing is told."""
    first, second = Recorded(), Recorded()
    world = World()
    world.service = replace(world.service, trace=lambda: CALLER)

    async def scenario() -> str:
        session = await world.said("go")
        world.model.says = [calls("look")]
        trace(world, first)

        hangs = asyncio.Event()

        async def hang() -> None:
            hangs.set()
            await asyncio.Event().wait()

        async def hang_the_next_time() -> None:
            world.model.thinks = hang

        world.model.thinks = hang_the_next_time
        advancing = asyncio.create_task(world.engine.advance(session))
        await hangs.wait()
        told = len(first.ended)
        advancing.cancel()
        await asyncio.gather(advancing, return_exceptions=True)
        del first.ended[told:]
        trace(world, second)
        await world.engine.advance(session)
        return session

    session = asyncio.run(scenario())
    spans = [*first.seen, *second.seen]
    assert {span.trace_id for span in spans} == {"0af7651916cd43dd8448eb211c80319c"}
    assert not {span.parent for span in spans} - {span.id for span in spans} - {CALLER[36:52]}
    claims = [span for span in spans if span.parent == CALLER[36:52]]
    assert [claim.name for claim in claims] == ["process sessions.advance"] * 2
    assert {span.attributes["gen_ai.conversation.id"] for span in spans} == {session}
    done = [span.name.partition(" ")[0] for span in spans if span not in claims]
    assert done == ["chat", "execute_tool", "chat"]


def trace(world: World, recorded: Recorded) -> None:
    """As the bootstrap does it."""
    tracer = recorded.tracer
    world.engine.model = TracedModel(world.model, tracer)
    world.engine.agents = trace_tools(world.service.agents, tracer)
    world.engine.slice_span = trace_slices(tracer)


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ("a\ud83db\0", "a?b\0"),
        ("\udcff" + "ä" * 200, "?" + "ä" * 200),
        (("a\ud83d", "\0", "b"), ["a?", "\0", "b"]),
        (-(2**63), -(2**63)),
        (2**63 - 1, 2**63 - 1),
        (-1, -1),
        (2**63, "9223372036854775808"),
        (True, True),
        (-0.5, -0.5),
    ],
)
def test_what_protobuf_does_not_take_is_no_fault_of_all_that_leaves_with_it(
    value: Value, arrives: object
) -> None:
    """Models send halves of surrogate pairs, and may count in numbers beyond 64 bits."""
    recorded = Recorded()
    odd_span = recorded.tracer.span("x\ud83d", attributes={"value": value})
    with odd_span, recorded.tracer.span("other"):
        pass
    odd, other = recorded.seen
    assert (odd.name, odd.attributes, other.name) == ("x?", {"value": arrives}, "other")


def test_the_sdk_can_be_disabled_by_its_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert make_tracer(Settings.load(), "web") is None
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    monkeypatch.delenv("OTEL_SDK_DISABLED")
    assert make_tracer(Settings.load(), "web") is None


@pytest.mark.parametrize("size", [0, 127, 128, 300, 16_383, 16_384, 3_000_000])
def test_a_field_of_any_length_is_framed_as_protobuf_does(size: int) -> None:
    head = framed(2, b"x" * size)[: -size or None]
    length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1:]))
    assert (head[0], length) == (2 << 3 | 2, size)

"""The ports of the service, seen: each call of a model, a tool or the queue is a span.

Named by OpenTelemetry's conventions for generative AI. Of what is said, asked and returned nothing
is told, unless OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT wants it.
"""

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

from ..agent.definition import Agent
from ..agent.events import as_json
from ..agent.ports import Answer, Message, Named, Replied, Request, Result, Wanted
from ..agent.session import Thread
from ..agent.tools import Context, Tool
from ..ports import Queue
from ..service import ADVANCE
from .spans import CLIENT, CONSUMER, PRODUCER, Attributes, Shared, Span, Tracer, within

Act = Callable[..., Coroutine[Any, Any, object]]
came_from: ContextVar[str] = ContextVar("came_from", default="")
"""The traceparent that came with a task."""


@dataclass(frozen=True)
class TracedModel:
    """One model: each try of it is a span, whatever became of the others."""

    model: Named
    tracer: Tracer

    @property
    def name(self) -> str:
        return self.model.name

    async def answer(self, request: Request, *, on_text: Callable[[str], None]) -> Answer:
        name, fixed = _asks(self.model.name)
        with self.tracer.span(name, CLIENT, fixed=fixed) as span:
            if self.tracer.has_content:
                span.attributes |= _asked(request)
            answer = await self.model.answer(request, on_text=on_text)
            usage = answer.usage
            span.attributes |= {
                "gen_ai.response.model": answer.model.partition(":")[2],
                "gen_ai.usage.input_tokens": usage.input_tokens,
                "gen_ai.usage.output_tokens": usage.output_tokens,
                "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
            }
            if self.tracer.has_content:
                said = _message(Replied(answer.text, answer.calls))
                span.attributes["gen_ai.output.messages"] = as_json([said])
            return answer


@dataclass(frozen=True, kw_only=True)
class TracedTool(Tool):
    tracer: Tracer

    async def call(self, arguments: dict[str, Any], context: Context) -> Any:
        name, fixed = _executes(self.name)
        attributes: Attributes = {"gen_ai.tool.call.id": context.key.rpartition(":")[2]}
        with self.tracer.span(name, attributes=attributes, fixed=fixed) as span:
            if self.tracer.has_content:
                span.attributes["gen_ai.tool.call.arguments"] = as_json(arguments)
            result = await super().call(arguments, context)
            if self.tracer.has_content:
                span.attributes["gen_ai.tool.call.result"] = as_json(result)
            return result


@dataclass(frozen=True)
class TracedQueue:
    queue: Queue
    tracer: Tracer

    async def send(self, task: str, *, lane: str = "default", **arguments: str) -> None:
        with self.tracer.span(f"send {task}", PRODUCER, fixed=_task("send", lane)):
            await self.queue.send(task, lane=lane, **arguments)


def trace_task(task: str, act: Act, tracer: Tracer) -> Act:
    """The same, as part of what has sent the task."""

    async def traced(**arguments: str) -> None:
        with tracer.span(f"process {task}", CONSUMER, traceparent=came_from.get()):
            await act(**arguments)

    return traced


def trace_slices(tracer: Tracer) -> Callable[[Thread], AbstractContextManager[Span]]:
    """What an engine does is part of what was asked of the session."""

    def taken_up(thread: Thread) -> AbstractContextManager[Span]:
        """That is all of this span, so that it is known before what is done then."""
        conversation = (
            ("gen_ai.conversation.id", thread.id),
            ("gen_ai.agent.name", thread.session.agent),
        )
        span = tracer.span(
            f"process {ADVANCE}",
            CONSUMER,
            fixed=_task("process", thread.lane),
            traceparent=thread.session.trace,
        )
        span.shared = conversation
        return within(span.end())

    return taken_up


def trace_tools(agents: Mapping[str, Agent], tracer: Tracer) -> dict[str, Agent]:
    """The same agents, each call of whose tools is a span."""

    def traced(tool: Tool) -> Tool:
        given = {field.name: getattr(tool, field.name) for field in fields(Tool)}
        return TracedTool(**given, tracer=tracer)

    return {
        name: replace(agent, tools=tuple(map(traced, agent.tools)))
        for name, agent in agents.items()
    }


@cache
def _asks(model: str) -> tuple[str, Shared]:
    """What a span of this model is called, and has in any case."""
    provider, _, name = model.partition(":")
    fixed = (
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", provider),
        ("gen_ai.request.model", name),
    )
    return f"chat {name}", fixed


@cache
def _executes(tool: str) -> tuple[str, Shared]:
    fixed = (
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", tool),
        ("gen_ai.tool.type", "function"),
    )
    return f"execute_tool {tool}", fixed


def _task(operation: str, lane: str) -> Shared:
    return (
        ("messaging.system", "celery"),
        ("messaging.operation.type", operation),
        ("messaging.destination.name", lane),
    )


def _asked(request: Request) -> Attributes:
    """A model's request, as the conventions write it."""
    instructions = [{"type": "text", "content": request.instructions}]
    tools = [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.schema,
        }
        for tool in request.tools
    ]
    return {
        "gen_ai.system_instructions": as_json(instructions),
        "gen_ai.input.messages": as_json([_message(message) for message in request.messages]),
        "gen_ai.tool.definitions": as_json(tools),
    }


def _message(message: Message) -> dict[str, Any]:
    match message:
        case Replied(text, calls):
            said = [{"type": "text", "content": text}] if text else []
            return {"role": "assistant", "parts": [*said, *map(_call, calls)]}
        case Result(call_id, _, text):
            part = {"type": "tool_call_response", "id": call_id, "response": text}
            return {"role": "tool", "parts": [part]}
    return {"role": "user", "parts": [{"type": "text", "content": message.text}]}


def _call(call: Wanted) -> dict[str, Any]:
    return {"type": "tool_call", "id": call.id, "name": call.tool, "arguments": call.arguments}

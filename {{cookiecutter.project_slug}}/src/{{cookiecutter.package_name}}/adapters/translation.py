"""Our requests in pydantic-ai's words, and its responses in ours: its messages go no further."""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_ai import messages as m
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from pydantic_core import from_json

from ..agent.events import Usage
from ..agent.ports import Message, Offer, Replied, Request, Result, Said, Wanted
from .answers import estimated


def messages(request: Request) -> list[m.ModelMessage]:
    return list(_messages(request.messages))


def parameters(request: Request) -> ModelRequestParameters:
    return ModelRequestParameters(
        function_tools=[_tool(offer) for offer in request.tools],
        allow_text_output=not request.must_call,
        instruction_parts=[m.InstructionPart(content=request.instructions)],
    )


def text(event: m.ModelResponseStreamEvent) -> str:
    """The piece of text that the event brings; most bring none."""
    match event:
        case m.PartStartEvent(part=m.TextPart(content=piece)):
            return piece
        case m.PartDeltaEvent(delta=m.TextPartDelta(content_delta=piece)):
            return piece
    return ""


def reply(response: m.ModelResponse) -> Replied:
    calls = (
        Wanted(call.tool_name, _arguments(call.args), call.tool_call_id)
        for call in response.tool_calls
    )
    return Replied(response.text or "", tuple(calls))


def usage(response: m.ModelResponse, request: Request) -> Usage:
    """As the provider counts it; by our own count where it does not count."""
    used = response.usage
    if not used.total_tokens:
        return estimated(request, reply(response))
    try:
        cost = response.cost().total_price
    except (LookupError, ValueError):  # not in the price list
        cost = Usage().cost
    return Usage(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cached_tokens=used.cache_read_tokens,
        cost=cost,
    )


def _messages(said: Sequence[Message]) -> Iterator[m.ModelMessage]:
    """What comes between two replies of the model is one message."""
    parts: list[m.ModelRequestPart] = []
    for message in said:
        match message:
            case Said(words):
                parts.append(m.UserPromptPart(words))
            case Result(call_id, tool, words):
                parts.append(m.ToolReturnPart(tool, words, tool_call_id=call_id))
            case Replied(words, calls):
                if parts:
                    yield m.ModelRequest(parts=parts)
                parts = []
                spoken = [m.TextPart(words)] if words.strip() else []
                wanted = [m.ToolCallPart(c.tool, c.arguments, tool_call_id=c.id) for c in calls]
                yield m.ModelResponse(parts=[*spoken, *wanted])
    if parts:
        yield m.ModelRequest(parts=parts)


def _tool(offer: Offer) -> ToolDefinition:
    return ToolDefinition(
        name=offer.name, description=offer.description, parameters_json_schema=offer.schema
    )


def _arguments(arguments: dict[str, Any] | str | None) -> dict[str, Any] | str:
    """An object; or the text as it came, where that is none."""
    if not isinstance(arguments, str):
        return arguments or {}
    try:
        parsed = from_json(arguments or "{}")
    except ValueError:
        return arguments
    return parsed if isinstance(parsed, dict) else arguments

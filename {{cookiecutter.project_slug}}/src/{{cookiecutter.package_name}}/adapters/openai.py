"""OpenAI's chat completions on the wire, which many servers speak."""

from collections.abc import Iterator
from typing import Any

from ..agent.events import Usage, as_json
from ..agent.ports import Message, Replied, Request, Result, Said, Wanted
from .draft import Draft

URL = "https://api.openai.com/v1"
PATH = "/chat/completions"
REFUSAL, CUT = "content_filter", "length"


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def body(model: str, request: Request) -> dict[str, Any]:
    tools = [
        {"name": tool.name, "description": tool.description, "parameters": tool.schema}
        for tool in request.tools
    ]
    asked: dict[str, Any] = {
        "model": model,
        "messages": list(_messages(request)),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if tools:
        asked["tools"] = [{"type": "function", "function": tool} for tool in tools]
        asked["tool_choice"] = "required" if request.must_call else "auto"
    return asked


def hear(event: dict[str, Any], draft: Draft) -> None:
    for choice in event.get("choices") or ():
        delta = choice.get("delta") or {}
        draft.say(delta.get("content"))
        for piece in delta.get("tool_calls") or ():
            function = piece.get("function") or {}
            draft.call(
                piece.get("index"),
                id_=piece.get("id") or "",
                tool=function.get("name") or "",
                arguments=function.get("arguments") or "",
            )
        if delta.get("refusal"):
            draft.stop = REFUSAL
        draft.stop = draft.stop or choice.get("finish_reason")
    if counted := event.get("usage"):
        cached = (counted.get("prompt_tokens_details") or {}).get("cached_tokens")
        draft.usage = Usage(
            input_tokens=counted.get("prompt_tokens") or 0,
            output_tokens=counted.get("completion_tokens") or 0,
            cached_tokens=cached or 0,
        )


def _messages(request: Request) -> Iterator[dict[str, Any]]:
    if request.instructions:
        yield {"role": "system", "content": request.instructions}
    yield from map(_message, request.messages)


def _message(message: Message) -> dict[str, Any]:
    match message:
        case Said(text):
            return {"role": "user", "content": text}
        case Result(call_id, _, text):
            return {"role": "tool", "tool_call_id": call_id, "content": text}
        case Replied(text, ()):
            return {"role": "assistant", "content": text}
        case Replied(text, wanted):
            calls = [
                {"id": call.id, "type": "function", "function": _function(call)} for call in wanted
            ]
            return {"role": "assistant", "content": text.strip() or None, "tool_calls": calls}


def _function(call: Wanted) -> dict[str, str]:
    return {"name": call.name, "arguments": as_json(call.given)}

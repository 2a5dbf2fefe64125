"""Anthropic's messages on the wire.

Its cache is asked for, which others use unasked: the beginning stays the same from call to call.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from ..agent.events import Usage
from ..agent.ports import Message, Replied, Request, Result, Said
from .draft import Draft

URL = "https://api.anthropic.com"
PATH = "/v1/messages"
REFUSAL, CUT = "refusal", "max_tokens"
VERSION = "2023-06-01"
LONGEST_ANSWER = 32_000
"""It has to be said, in tokens: what every model since Claude 4 takes."""
CACHED = {"cache_control": {"type": "ephemeral"}}


def headers(key: str) -> dict[str, str]:
    return {"x-api-key": key, "anthropic-version": VERSION}


def body(model: str, request: Request) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "model": model,
        "max_tokens": LONGEST_ANSWER,
        "messages": _messages(request),
        "stream": True,
    }
    if request.instructions:
        asked["system"] = [_text(request.instructions) | CACHED]
    if request.tools:
        asked["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
            for tool in request.tools
        ]
        asked["tool_choice"] = {"type": "any" if request.must_call else "auto"}
    return asked


def hear(event: dict[str, Any], draft: Draft) -> None:
    match event:
        case {"type": "message_start", "message": {"usage": dict(counted)}}:
            _count(draft, counted)
        case {"type": "content_block_start", "index": index, "content_block": block}:
            draft.say(block.get("text"))
            if block["type"] == "tool_use":
                draft.call(index, id_=block["id"], tool=block["name"])
        case {"type": "content_block_delta", "index": index, "delta": delta}:
            draft.say(delta.get("text"))
            if delta["type"] == "input_json_delta":
                draft.call(index, arguments=delta["partial_json"])
        case {"type": "message_delta", "delta": delta}:
            draft.stop = delta.get("stop_reason")
            _count(draft, event.get("usage") or {})


def _count(draft: Draft, counted: dict[str, Any]) -> None:
    """Its counts are of all so far, and those it has told before may be left out."""
    draft.counted |= {name: count for name, count in counted.items() if isinstance(count, int)}
    cached = draft.counted.get("cache_read_input_tokens", 0)
    came = draft.counted.get("input_tokens", 0) + cached
    draft.written = draft.counted.get("cache_creation_input_tokens", 0)
    draft.usage = Usage(
        input_tokens=came + draft.written,
        output_tokens=draft.counted.get("output_tokens", 0),
        cached_tokens=cached,
    )


def _messages(request: Request) -> list[dict[str, Any]]:
    """What comes between two replies is one message; the last is where the cache may end."""
    messages: list[dict[str, Any]] = [
        {"role": role, "content": [block for message in said for block in _blocks(message)]}
        for role, said in groupby(request.messages, _role)
    ]
    messages[-1]["content"][-1] |= CACHED
    return messages


def _role(message: Message) -> str:
    return "assistant" if isinstance(message, Replied) else "user"


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    match message:
        case Said(text):
            yield _text(text)
        case Result(call_id, _, text):
            yield {"type": "tool_result", "tool_use_id": call_id, "content": text}
        case Replied(text, calls):
            if text.strip():
                yield _text(text)
            for call in calls:
                yield {"type": "tool_use", "id": call.id, "name": call.name, "input": call.given}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}

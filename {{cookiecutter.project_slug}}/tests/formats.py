"""How OpenAI's chat completions and Anthropic's messages look on the wire."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


@dataclass(frozen=True, kw_only=True)
class Say:
    """What one request is answered with."""

    text: tuple[str, ...] = ()
    """In the pieces in which it is streamed."""
    calls: tuple[tuple[str, str], ...] = ()
    """Each a tool and its arguments, these as they stand on the wire."""
    usage: tuple[int, int, int] | None = (10, 0, 5)
    """Tokens in, those of them from a cache, tokens out; None: it does not count."""
    stops: str | None = ""
    """Why it ends, in the provider's word; empty: what fits; None: it ends without a reason."""
    status: int = 200
    error: str = "so it is scripted"
    code: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    raw: str = ""
    """In place of all events."""
    delay: float = 0
    hangs: bool = False
    cut_after: int | None = None
    """The connection is cut after so many pieces of text; 0: before there is any answer."""

    def reason(self, *, done: str, calls: str) -> str | None:
        return self.stops if self.stops != "" else calls if self.calls else done


class OpenAI:
    @staticmethod
    def error(say: Say) -> Json:
        return {"error": {"message": say.error, "type": say.code, "code": say.code}}

    @staticmethod
    def message(request: Json, say: Say) -> Json:
        message: Json = {"role": "assistant", "content": "".join(say.text) or None}
        if say.calls:
            message["tool_calls"] = OpenAI._calls(say)
        choice = {"index": 0, "message": message, "finish_reason": OpenAI._reason(say)}
        made = {"id": "made-1", "object": "chat.completion", "created": 1}
        made |= {"model": request["model"], "choices": [choice]}
        return made | OpenAI._usage(say)

    @staticmethod
    def events(request: Json, say: Say) -> Iterator[str]:
        made = {"id": "made-1", "object": "chat.completion.chunk", "created": 1}
        made["model"] = request["model"]

        def chunk(delta: Json, reason: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            return f"data: {json.dumps(made | {'choices': [choice]})}\n\n"

        yield chunk({"role": "assistant"})
        yield from (chunk({"content": piece}) for piece in say.text[: say.cut_after])
        if say.cut_after is not None:
            return
        yield from (chunk({"tool_calls": [call]}) for call in OpenAI._calls(say))
        if reason := OpenAI._reason(say):
            yield chunk({}, reason)
        if "stream_options" in request and say.usage:
            yield f"data: {json.dumps(made | {'choices': []} | OpenAI._usage(say))}\n\n"
        yield "data: [DONE]\n\n"

    @staticmethod
    def _reason(say: Say) -> str | None:
        return say.reason(done="stop", calls="tool_calls")

    @staticmethod
    def _calls(say: Say) -> list[Json]:
        return [
            {
                "index": n,
                "id": f"call_{n}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for n, (name, arguments) in enumerate(say.calls)
        ]

    @staticmethod
    def _usage(say: Say) -> Json:
        if say.usage is None:
            return {}
        came, cached, went = say.usage
        counted = {"prompt_tokens": came, "completion_tokens": went, "total_tokens": came + went}
        return {"usage": counted | {"prompt_tokens_details": {"cached_tokens": cached}}}


class Anthropic:
    @staticmethod
    def error(say: Say) -> Json:
        kind = say.code or ERRORS.get(say.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": say.error}}

    @staticmethod
    def message(request: Json, say: Say) -> Json:
        content: list[Json] = [{"type": "text", "text": "".join(say.text)}] if say.text else []
        for n, (name, arguments) in enumerate(say.calls):
            content.append(Anthropic._call(n, name) | {"input": json.loads(arguments)})
        return Anthropic._message(request, say) | {
            "content": content,
            "stop_reason": Anthropic._reason(say),
        }

    @staticmethod
    def events(request: Json, say: Say) -> Iterator[str]:
        yield _event("message_start", message=Anthropic._message(request, say))
        deltas = [{"type": "text_delta", "text": piece} for piece in say.text[: say.cut_after]]
        if deltas:
            yield from Anthropic._block(0, {"type": "text", "text": ""}, deltas)
        if say.cut_after is not None:
            return
        for n, (name, arguments) in enumerate(say.calls):
            delta = {"type": "input_json_delta", "partial_json": arguments}
            yield from Anthropic._block(n + 1, Anthropic._call(n, name), [delta])
        if reason := Anthropic._reason(say):
            ends = {"stop_reason": reason, "stop_sequence": None}
            yield _event("message_delta", delta=ends, usage=Anthropic._usage(say))
        yield _event("message_stop")

    @staticmethod
    def _message(request: Json, say: Say) -> Json:
        message: Json = {"id": "made-1", "type": "message", "role": "assistant", "content": []}
        message |= {"model": request["model"], "stop_reason": None, "stop_sequence": None}
        return message | {"usage": Anthropic._usage(say)}

    @staticmethod
    def _block(index: int, start: Json, deltas: Iterable[Json]) -> Iterator[str]:
        yield _event("content_block_start", index=index, content_block=start)
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)

    @staticmethod
    def _reason(say: Say) -> str | None:
        return say.reason(done="end_turn", calls="tool_use")

    @staticmethod
    def _call(number: int, name: str) -> Json:
        return {"type": "tool_use", "id": f"call_{number}", "name": name, "input": {}}

    @staticmethod
    def _usage(say: Say) -> Json:
        came, cached, went = say.usage or (0, 0, 0)
        counted = {"input_tokens": came - cached, "output_tokens": went}
        return counted | {"cache_read_input_tokens": cached}


def _event(kind: str, **body: object) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n"

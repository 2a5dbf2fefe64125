"""What happens in sessions, in words: one line an event, fit for any terminal."""

import json
from collections.abc import AsyncIterator

from ...agent.events import AnyEvent, Call
from ...agent.planning import outline
from ...agent.ports import Stored
from ...agent.session import OpenCall
from ...service import Service

PAGE = 1000
LENGTH = 160
JOINERS = "\n\t\u200c\u200d"
SENTENCES = {
    "session_started": "agent {agent}, prompt {prompt} {origin}",
    "user_spoke": "{text}",
    "facts_fetched": "{names}",
    "model_answered": "{purpose}, {model}, {tokens} tokens, {seconds:g} s: {text} {calls}",
    "model_failed": "{error}",
    "tool_requested": "{call} {asks} {reason}",
    "tool_refused": "{call_id}: {error}",
    "tool_approved": "{call_id} by {by} {comment}",
    "tool_denied": "{call_id} by {by} {comment}",
    "person_answered": "{call_id} by {by}: {answer}",
    "decision_timed_out": "{call_id}",
    "tool_started": "{call_id}",
    "tool_returned": "{call_id}: {result}",
    "tool_failed": "{call_id}: {error}",
    "plan_made": "{plan}",
    "reflected": "{text}",
    "agent_answered": "{text}",
    "context_compacted": "{keep} events kept; {summary}",
    "session_paused": "{reason}",
    "session_resumed": "by {by} {added}",
    "session_cancelled": "by {by} {reason}",
    "session_failed": "{reason}",
}


async def events_of(service: Service, session_id: str, *, after: int = 0) -> AsyncIterator[Stored]:
    while page := await service.sessions.events(session_id, after=after, limit=PAGE):
        for stored in page:
            yield stored
        after = page[-1].seq


def told(event: AnyEvent) -> str:
    """What happened, in one line."""
    values = dict(event)
    if usage := values.get("usage"):
        values["tokens"] = usage.tokens
    if call := values.get("call"):
        values["call"] = called(call)
        values["asks"] = "" if values["permission"] == "auto" else "waits for a person"
    values |= {
        "origin": f"forked from {origin}" if (origin := values.get("forked_from")) else "",
        "names": ", ".join(values.get("facts", ())),
        "calls": ", ".join(map(called, values.get("calls", ()))),
        "plan": outline(values.get("tasks", ())).replace("\n", ", "),
        "result": json.dumps(values.get("result"), ensure_ascii=False),
        "added": ", ".join(f"{n} more {name}" for name, n in values.get("more", ()) if n),
    }
    return line(SENTENCES[event.kind].format_map(values))


def called(call: Call) -> str:
    """The call whole, with its exact arguments."""
    return f"{call.id} {call.tool} {plain(json.dumps(call.arguments, ensure_ascii=False))}"


def asked(request: OpenCall) -> str:
    """What a person is asked, why, and until when."""
    until = f", until {request.expires_at:%Y-%m-%d %H:%M} UTC" if request.expires_at else ""
    why = f": {plain(request.reason)}" if request.reason else ""
    return f"{called(request.call)} (your {request.waits_for}{until}){why}"


def line(text: str, *, length: int = LENGTH) -> str:
    flat = plain(" ".join(text.split()))
    return flat if len(flat) <= length else f"{flat[: length - 1]}…"


def plain(text: str) -> str:
    """Without what moves a cursor, paints or turns the direction: a model's text is not trusted."""
    return "".join(
        c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode() for c in text
    )

"""What happens in sessions, in words: one line an event, fit for any terminal."""

from collections.abc import AsyncIterator

from ...agent import events as e
from ...agent.history import Stored
from ...agent.own import outline
from ...agent.session import OpenCall
from ...service import Service

PAGE = 1000
LENGTH = 160
JOINERS = "\n\t\u200c\u200d"


async def events_of(service: Service, session_id: str, *, after: int = 0) -> AsyncIterator[Stored]:
    while page := await service.events(session_id, after=after, limit=PAGE):
        for stored in page:
            yield stored
        after = page[-1].seq


def as_line(stored: Stored) -> str:
    """For programs: the event with its place, as a page of the API has it."""
    from pydantic_core import to_json

    return to_json({"seq": stored.seq} | stored.event.model_dump(mode="json")).decode()


def told(event: e.AnyEvent) -> str:
    """What happened, in one line."""
    match event:
        case e.UserSpoke() | e.AgentAnswered() | e.Reflected():
            return line(event.text)
        case e.ModelAnswered():
            spent = f"{event.purpose}, {event.model}, {event.usage.tokens} tokens"
            return line(f"{spent}: {event.text} {', '.join(map(called, event.calls))}")
        case e.ToolRequested():
            asks = "" if event.permission == "auto" else " waits for a person"
            return line(f"{called(event.call)}{asks} {event.reason}")
        case e.ToolReturned():
            return line(f"{event.call_id}: {event.text}")
        case e.PlanMade():
            return line(outline(event.tasks).replace("\n", ", "))
    skipped = {"at", "kind", "state", "seconds"}
    known = event.model_dump(mode="json", exclude=skipped, exclude_defaults=True)
    return line(", ".join(f"{name} {e.as_json(value)}" for name, value in known.items()))


def called(call: e.Call) -> str:
    """The call whole, with its exact arguments."""
    return f"{call.id} {call.tool} {plain(e.as_json(call.arguments))}"


def asked(request: OpenCall) -> str:
    """What a person is asked, why, and until when."""
    until = f", until {request.expires_at:%Y-%m-%d %H:%M} UTC" if request.expires_at else ""
    why = f": {plain(request.reason)}" if request.reason else ""
    wanted = "answer" if request.permission == "answer" else "approval"
    return f"{called(request.call)} (your {wanted}{until}){why}"


def line(text: str, *, length: int = LENGTH) -> str:
    flat = plain(" ".join(text.split()))
    return flat if len(flat) <= length else f"{flat[: length - 1]}…"


def plain(text: str) -> str:
    """Without what moves a cursor, paints or turns the direction: a model's text is not trusted."""
    return "".join(
        c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode() for c in text
    )

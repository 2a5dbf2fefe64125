"""`sessions show`: a session as it is now, for people and for programs."""

from dataclasses import dataclass

from ...agent.history import Exchange
from ...agent.planning import outline
from ...agent.ports import Summary
from ...agent.session import Session
from ...service import Service
from .story import asked, plain


@dataclass(frozen=True)
class Seen:
    summary: Summary
    state: Session
    history: list[Exchange]


async def look(service: Service, session_id: str) -> Seen:
    summary = await service.summary(session_id)
    thread = await service.thread(session_id)
    return Seen(summary, thread.session, await service.history(session_id))


def as_text(seen: Seen) -> str:
    known, state = seen.summary, seen.state
    why = f": {plain(state.paused)}" if state.paused else ""
    spent = f"{state.usage.tokens} tokens, ${state.usage.cost:.4f}, {state.seconds:.1f} s"
    lines = [
        f"session  {known.id}",
        f"status   {state.status}{why}",
        f"agent    {known.agent}, prompt {known.prompt}, lane {known.lane}",
        f"time     from {known.created_at:%Y-%m-%d %H:%M} to {known.updated_at:%Y-%m-%d %H:%M}",
        f"spent    {spent}; {state.steps} steps for the last message",
    ]
    if state.plan:
        lines += ["plan", *(f"  {task}" for task in plain(outline(state.plan)).splitlines())]
    for request in state.pending:
        lines += ["waits for", f"  {asked(request)}"]
    for exchange in seen.history:
        lines += ["", f"> {plain(exchange.message)}"]
        lines += [plain(exchange.response)] if exchange.response is not None else []
    return "\n".join(lines)

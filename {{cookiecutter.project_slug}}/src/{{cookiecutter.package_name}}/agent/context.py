"""The context window: a pure function from events to exactly what the model sees (factor A3).

The beginning stays the same from call to call, so that a provider's cache holds; it changes only
when the window is full and what is old is summed up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from . import events as e
from .definition import Agent
from .events import as_json, size_of
from .own import PLAN, REFLECT, outline, plan
from .ports import BYTES_A_TOKEN, Message, Replied, Request, Result, Said, Wanted
from .prompts import choose
from .session import Session, Thread

RESULT_LENGTH = 8_000
FULL, KEPT, SUMMED = 0.9, 0.4, 0.2
"""At this part of its room the window is compacted: to recent events, and a summary."""
LINE_LENGTH = 200
Purpose = Literal["think", "plan", "reflect"]
Events = Sequence[e.AnyEvent]


def build(thread: Thread, agent: Agent, purpose: Purpose = "think") -> Request:
    messages = tuple(_messages(thread))
    instructions = agent.prompts[choose(agent.prompts, thread.session.prompt)]
    if purpose == "plan":
        messages = (*messages, Said(PLAN))
        return Request(instructions, messages, (plan.offer,), must_call=True)
    if purpose == "reflect":
        messages = (*messages, Said(f"{REFLECT}\n\n{outline(thread.session.plan)}".strip()))
    return Request(
        instructions, messages, agent.offers, must_call=agent.finishes and purpose == "think"
    )


def fit(request: Request, budget: int) -> Request:
    """Within the budget also where the newest turn alone is not: its longest texts are cut."""
    longest, fitting = max(len(message.text) for message in request.messages), request
    while fitting.tokens > budget and longest > LINE_LENGTH:
        longest //= 2
        cut = tuple(replace(m, text=_cut(m.text, longest)) for m in request.messages)
        fitting = replace(request, messages=cut)
    return fitting


def compact(
    thread: Thread, request: Request, *, budget: int, at: datetime
) -> e.ContextCompacted | None:
    """What sums up the older events, once the request that shows them all fills the window."""
    if request.tokens < budget * FULL:
        return None
    fixed = replace(request, messages=()).tokens
    if request.tokens - fixed < (room := max(budget - fixed, 0)) * FULL:
        return None
    keep = _kept(thread, int(room * KEPT) * BYTES_A_TOKEN)
    size = int(room * SUMMED) * BYTES_A_TOKEN
    old = _lines(thread.events[: len(thread.events) - keep], size)
    if not old:  # it is one turn that is too big
        return None
    if last := _compaction(thread.events):
        old = [*last.summary.splitlines(), *old]
    state = thread.session.model_dump(mode="json")
    return e.ContextCompacted(at=at, summary=_sum_up(old, size), keep=keep, state=state)


def outcome(event: e.AnyEvent) -> tuple[str, str] | None:  # noqa: PLR0911 - one a kind
    """The call that this ends, and what the model reads of its end."""
    match event:
        case e.ToolReturned():
            return event.call_id, _cut(event.text)
        case e.ToolFailed() | e.ToolRefused():
            return event.call_id, f"error: {event.error}"
        case e.ToolDenied():
            return event.call_id, f"denied by {event.by}: {event.comment or 'no reason given'}"
        case e.PersonAnswered():
            return event.call_id, f"{event.by} answered: {event.answer}"
        case e.DecisionTimedOut():
            return event.call_id, "nobody decided in time"
        case e.AgentAnswered(call_id=str(call_id)):
            return call_id, "the user has been told"
    return None


def _messages(thread: Thread) -> Iterator[Message]:
    """What came while the model was busy is shown after its answer: it had not seen it."""
    events, first = thread.events, thread.seq - len(thread.events) + 1
    if last := _compaction(events):
        yield _recap(last)
    busy_since = [event.seen for event in events if isinstance(event, e.ModelAnswered)][::-1]
    told: set[str] = set()
    late: list[Message] = []
    for seq, event in enumerate(events, first):
        if isinstance(event, e.ModelAnswered):
            busy_since.pop()
            until = busy_since[-1] if busy_since else thread.seq
            yield from _turn(event, events[seq - first + 1 : until - first + 1], told)
            yield from late
            late = []
        elif message := _message(event, told):
            if busy_since and seq > busy_since[-1]:
                late.append(message)
            else:
                yield message


def _recap(compacted: e.ContextCompacted) -> Message:
    """The summary, and what must not get lost in it."""
    session = Session.model_validate(compacted.state)
    text = f"What came before, summed up:\n{compacted.summary}"
    if session.plan:
        text += f"\n\nThe plan:\n{outline(session.plan)}"
    if pending := [_called(known.call) for known in session.open.values()]:
        text += "\n".join(("\n\nNot decided yet:", *pending))
    return Said(text)


def _turn(answer: e.ModelAnswered, later: Events, told: set[str]) -> Iterator[Message]:
    """What the model said and, right after it, what came of its calls till it was asked again."""
    if answer.purpose == "reflect":
        return
    if answer.calls or answer.text.strip():
        yield Replied(answer.text, tuple(Wanted(c.tool, c.arguments, c.id) for c in answer.calls))
    ends = dict(end for event in later if (end := outcome(event)))
    for call in answer.calls:
        text = ends.get(call.id, f"not decided yet: what comes of {call.id} will follow")
        yield Result(call.id, call.tool, text)
    told.update(ends.keys() & {call.id for call in answer.calls})
    if later and isinstance(later[0], e.ModelFailed):
        yield Said(f"error: {later[0].error}")


def _message(event: e.AnyEvent, told: set[str]) -> Message | None:
    match event:
        case e.UserSpoke():
            return Said(event.text)
        case e.FactsFetched():
            return Said(f"Facts, as of now:\n{_cut(as_json(event.facts))}")
        case e.ToolRequested() if event.reason and event.permission == "answer":
            return Said(f"Of {event.call.id}: not decided yet: a person was asked: {event.reason}")
        case e.Reflected():
            return Said(f"Your own thoughts on that: {event.text}")
    if (end := outcome(event)) and end[0] not in told:
        return Said(f"Of {end[0]}: {end[1]}")
    return None


def _compaction(events: Events) -> e.ContextCompacted | None:
    """The last one, which says all that those before it said."""
    return next((v for v in reversed(events) if isinstance(v, e.ContextCompacted)), None)


def _kept(thread: Thread, size: int) -> int:
    """How many of the last events to show whole; no less than what the model has not seen."""
    answers = (v for v in reversed(thread.events) if isinstance(v, e.ModelAnswered))
    unseen = thread.seq - next((answer.seen for answer in answers), 0)
    best = used = 0
    for count, event in enumerate(reversed(thread.events), start=1):
        used += _size(event)
        if used > size and best:
            break
        if count >= unseen and isinstance(event, e.UserSpoke | e.ModelAnswered):
            best = count
    return best or len(thread.events)


def _size(event: e.AnyEvent) -> int:
    """About what it takes of the window, in bytes."""
    if isinstance(event, e.ToolReturned):
        return LINE_LENGTH + size_of(_cut(event.text))
    if isinstance(event, e.ContextCompacted):
        return 0
    return size_of(event.model_dump_json())


def _lines(events: Events, size: int) -> list[str]:
    """One for each thing of weight."""
    lines: list[str] = []
    for event in events:
        match event:
            case e.UserSpoke():
                lines.append(_line("user", event.text, max(LINE_LENGTH, size // 4)))
            case e.AgentAnswered():
                lines.append(_line("you", event.text))
            case e.ToolRequested():
                lines.append(_called(event.call))
            case e.ToolApproved():
                lines.append(_line(event.call_id, f"approved by {event.by}. {event.comment}"))
            case _ if end := outcome(event):
                lines.append(_line(*end))
    return lines


def _sum_up(lines: Sequence[str], size: int) -> str:
    """Where there are too many: what the user said first and last, and the newest."""
    said = [n for n, line in enumerate(lines) if line.startswith("- user: ")]
    shown = {*said[:1], *said[-1:]}
    newest = (n for n in reversed(range(len(lines))) if n not in shown)
    for n in (*shown, *newest):
        size -= len(lines[n].encode()) + 1
        if size < 0:
            break
        shown.add(n)
    return "\n".join(lines[n] for n in sorted(shown))


def _line(who: str, text: str, length: int = LINE_LENGTH) -> str:
    text = " ".join(text.split())
    return f"- {who}: {text if len(text) <= length else text[:length] + '…'}"


def _called(call: e.Call) -> str:
    return _line(call.id, f"{call.tool} {as_json(call.arguments)}")


def _cut(text: str, length: int = RESULT_LENGTH) -> str:
    if len(text) <= length:
        return text
    half = length // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"

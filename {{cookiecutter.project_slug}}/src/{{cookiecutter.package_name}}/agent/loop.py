"""The control flow of an agent, whole, on one screen (factor A8). Everything it does is an event.

`step` looks at the session and does one thing; whoever calls it stores the events and calls again.
So it may be killed anywhere: what was stored stands, what was not is done again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ModelError
from . import events as e
from .acts import Acts, Events
from .context import Purpose, build, compact, fit
from .limits import spent
from .ports import Model, Request
from .session import Thread
from .tools import brief


@dataclass(frozen=True, kw_only=True)
class Loop:
    model: Model
    acts: Acts
    on_text: Callable[[str], None]
    context_tokens: int

    async def step(self, thread: Thread) -> Events:  # noqa: PLR0911 - one way out a phase
        """Observe → think → plan → act → reflect → update: the next of these, as events."""
        session, agent, now = thread.session, self.acts.agent, self.acts.clock()
        if session.next is None:
            return []
        if session.next == "act":
            return await self.acts.run(thread)
        if agent.prefetch and not session.fetched:
            return [await self.acts.fetch(agent.prefetch)]
        if why := spent(session, agent.limits):
            return [e.SessionPaused(at=now, reason=why, spent=True)]
        if session.errors >= agent.limits.errors:
            return [self.acts.ask(thread, _cry_for_help(thread), seen=session.seq)]
        request = build(thread, agent)
        if full := compact(thread, request, budget=self.context_tokens, at=now):
            return [full]
        if agent.planning and not session.planned:
            return await self._think(thread, build(thread, agent, "plan"), "plan")
        if agent.reflection and not session.reflected:
            return await self._think(thread, build(thread, agent, "reflect"), "reflect")
        return await self._think(thread, request, "think")

    async def _think(self, thread: Thread, request: Request, purpose: Purpose) -> Events:
        session, began, whole = thread.session, self.acts.clock(), request
        request = fit(request, self.context_tokens)
        try:
            answer = await self.model.answer(
                request, on_text=self.on_text if purpose == "think" else _unheard
            )
        except ModelError as error:
            at, seconds = self.acts.ended(began)
            wait = error.retry_after or 0
            return [e.ModelFailed(at=at, error=brief(error), seconds=seconds, wait=wait)]
        now, seconds = self.acts.ended(began)
        wanted = () if purpose == "reflect" else answer.calls
        calls = tuple(
            e.Call(id=f"c{n}", tool=want.tool, arguments=want.given)  # the id is ours
            for n, want in enumerate(wanted, session.calls + 1)
        )
        answered = e.ModelAnswered(
            at=now,
            purpose=purpose,
            seen=session.seq,
            text=answer.text,
            calls=calls,
            model=answer.model,
            usage=answer.usage,
            seconds=seconds,
            cut=request is not whole,
        )
        if purpose == "reflect":
            return [answered, e.Reflected(at=now, text=answer.text)]
        alone = len(calls) == 1
        decided = [event for call in calls for event in self.acts.decide(call, alone=alone)]
        if decided:
            return [answered, *decided]
        if request.must_call or not answer.text.strip():
            why = "no tool was called" if request.must_call else "nothing was said"
            return [answered, e.ModelFailed(at=now, error=why)]
        return [answered, e.AgentAnswered(at=now, text=answer.text)]


def _cry_for_help(thread: Thread) -> str:
    failed = (e.ToolFailed, e.ToolRefused, e.ModelFailed)
    errors = (event.error for event in reversed(thread.events) if isinstance(event, failed))
    count = thread.session.errors
    return f"{count} things in a row went wrong, the last: {next(errors, '')}. What should be done?"


def _unheard(_: str) -> None:
    """What it plans and reflects is not streamed."""

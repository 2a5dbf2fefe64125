"""What the loop does with calls: ask people, run tools, and never run twice what must not be."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ..errors import AppError, Unavailable
from . import events as e
from .definition import Agent
from .own import ask_person, check_order, finish, outline, plan
from .session import OpenCall, Thread
from .tools import ERROR_LENGTH, Context, Permission, Tool, ToolError, brief, plain

log = logging.getLogger(__name__)
Events = list[e.AnyEvent]
FETCH_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Acts:
    agent: Agent
    clock: Callable[[], datetime]
    decision_time: timedelta
    begun: set[str] = field(default_factory=set)
    """Calls that must not run twice, and that this very process has begun."""

    def decide(self, call: e.Call, *, alone: bool) -> Events:
        """What becomes of a call that the model wants: done, refused, or put to a person."""
        try:
            tool = self.agent.tool(call.tool)
            call = e.Call(id=call.id, tool=call.tool, arguments=tool.check(call.arguments))
            if tool is plan:
                return self._planned(call)
            if tool is finish:
                return self._finish(call, alone=alone)
        except ToolError as error:
            return [e.ToolRefused(at=self.clock(), call_id=call.id, error=brief(error))]
        return [self._request(call, tool.permission)]

    def ask(self, thread: Thread, question: str, *, seen: int = 0) -> e.ToolRequested:
        """A question of the loop's own."""
        call_id = f"c{thread.session.calls + 1}"
        call = e.Call(id=call_id, tool=ask_person.name, arguments={"question": question})
        return self._request(call, "answer", question, seen=seen)

    async def fetch(self, prefetch: Callable[[], Awaitable[dict[str, Any]]]) -> e.FactsFetched:
        """The facts; where they can't be had, the agent can still ask for them by its tools."""
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                facts = plain(await prefetch())
            return e.FactsFetched(at=self.clock(), facts=facts)
        except Exception as error:
            log.warning("prefetch failed", exc_info=True)
            return e.FactsFetched(at=self.clock(), facts={"unavailable": brief(error)})

    async def run(self, thread: Thread) -> Events:
        """Every call that is free to run, at once; the intent to run each is stored already."""
        ready = [o for o in thread.session.open.values() if o.permission == "auto"]
        permissions = [(o, self._permission(thread, o)) for o in ready]
        if to_ask := [(o, wanted) for o, wanted in permissions if wanted != "auto"]:
            return [self._request(o.call, wanted, o.reason) for o, wanted in to_ask]
        once = [o for o in ready if not self._may_repeat(o)]
        for open_ in once:
            if open_.started and open_.call.id not in self.begun:
                return self._unknown(thread, open_.call)
        if new := [o.call.id for o in once if not o.started]:
            self.begun.update(new)
            return [e.ToolStarted(at=self.clock(), call_id=call_id) for call_id in new]
        if len(ready) == 1:
            return await self._run(thread.id, ready[0].call)
        return await _all([self._run(thread.id, o.call) for o in ready])

    async def _run(self, session_id: str, call: e.Call) -> Events:
        began = self.clock()
        try:
            if (tool := self.agent.tool(call.tool)) is finish:
                return self._finished(call)
            context = Context(session_id, f"{session_id}:{call.id}")
            result = await tool.call(call.arguments, context)
        except Unavailable:
            raise  # it may have happened: done again under the same key, by this worker or another
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if (task := asyncio.current_task()) and task.cancelling():
                raise  # it is this process that ends
            if not isinstance(error, AppError):
                log.exception("tool broke", extra={"session": session_id, "tool": call.tool})
            at, seconds = self.ended(began)
            return [e.ToolFailed(at=at, call_id=call.id, error=brief(error), seconds=seconds)]
        at, seconds = self.ended(began)
        return [e.ToolReturned(at=at, call_id=call.id, result=result, seconds=seconds)]

    def _planned(self, call: e.Call) -> Events:
        made = e.PlanMade(at=self.clock(), tasks=call.arguments["tasks"])
        check_order(made.tasks)
        return [made, e.ToolReturned(at=made.at, call_id=call.id, result=outline(made.tasks))]

    def _finish(self, call: e.Call, *, alone: bool) -> Events:
        if not alone:
            raise ToolError("call it alone, once the other tools have returned")
        sure = call.arguments["confidence"]
        if sure < self.agent.limits.confidence:
            return [self._request(call, "ask", f"it is only {sure:.0%} sure of its answer")]
        return self._finished(call)

    def _finished(self, call: e.Call) -> Events:
        text = call.arguments["answer"]
        return [e.AgentAnswered(at=self.clock(), text=text, done=True, call_id=call.id)]

    def _permission(self, thread: Thread, open_: OpenCall) -> Permission:
        """What is needed still, whatever led to the call and whichever release let it pass."""
        if thread.session.decided.get(open_.call.id) == "approved":
            return "auto"
        tool = self._tool(open_)
        return tool.permission if tool else "auto"

    def _may_repeat(self, open_: OpenCall) -> bool:
        tool = self._tool(open_)
        return tool is None or tool.idempotent

    def _tool(self, open_: OpenCall) -> Tool | None:
        """None for one that is gone with a newer release: running it says so."""
        try:
            return self.agent.tool(open_.call.tool)
        except ToolError:
            return None

    def _unknown(self, thread: Thread, call: e.Call) -> Events:
        error = "it began, and nobody knows what came of it"
        what = f"{call.id}, {call.tool} with {call.arguments}"[:ERROR_LENGTH]
        question = f"{what}: {error}. Did it happen?"
        failed = e.ToolFailed(at=self.clock(), call_id=call.id, error=error)
        return [failed, self.ask(thread, question)]

    def _request(
        self, call: e.Call, permission: Permission, reason: str = "", *, seen: int = 0
    ) -> e.ToolRequested:
        now = self.clock()
        return e.ToolRequested(
            at=now,
            call=call,
            permission=permission,
            reason=reason,
            expires_at=None if permission == "auto" else now + self.decision_time,
            seen=seen,
        )

    def ended(self, began: datetime) -> tuple[datetime, float]:
        now = self.clock()
        return now, round((now - began).total_seconds(), 3)


async def _all(runs: Sequence[Coroutine[Any, Any, Events]]) -> Events:
    """What came of them, if only of some: what is known must not be lost with what is not."""
    tasks = [asyncio.create_task(run) for run in runs]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if all(task.cancelled() or task.exception() for task in tasks):
            raise
    if ended := [task for task in tasks if not (task.cancelled() or task.exception())]:
        return [event for task in ended for event in task.result()]
    return tasks[0].result()  # its error

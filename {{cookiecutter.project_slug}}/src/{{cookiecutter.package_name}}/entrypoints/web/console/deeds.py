"""What people do on the pages: each is a form, a use case, and the page that shows what came of it.

A form carries a word of its own, `once`: sent twice, as after a dropped connection, it counts once.
"""

import re
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4, uuid5

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ....agent.events import Budget
from .. import bodies
from .render import local
from .visits import Visit, go, number, post

ONCE = UUID("0f7d1c3e-5d53-4c44-9d55-6a0d9a3f2b11")
WORD = re.compile(r"[A-Za-z0-9-]{1,100}")
AMOUNTS = ("steps", "tokens", "cost", "seconds")


async def start(visit: Visit) -> Response:
    """A session, and the first thing said in it."""
    await visit.spends()
    text = bodies.Say.model_validate({"text": visit.form.get("text", "")}).text
    agent = bodies.Start(agent=visit.form.get("agent") or None).agent
    key, caller = _once(visit), visit.caller
    session_id = str(uuid5(ONCE, f"{caller.key_id}:{key}"))
    await visit.service.begin(
        text, by=caller.name, key=key, agent=agent, whose=caller.whose, session_id=session_id
    )
    return go(f"/sessions/{session_id}")


async def say(visit: Visit) -> Response:
    await visit.spends()
    session_id, caller = await visit.session_id(), visit.caller
    text = bodies.Say.model_validate({"text": visit.form.get("text", "")}).text
    key, payer = _once(visit), caller.key_id
    await visit.service.say(session_id, text, by=caller.name, key=key, payer=payer)
    return _back(visit, session_id)


async def decide(visit: Visit) -> Response:
    """Only the button that says so approves; an answer is one."""
    visit.needs("approve")
    session_id, form = await visit.session_id(), visit.form
    given = {"approved": form.get("decision") == "approve", "comment": form.get("comment", "")}
    if given["approved"] and "answer" in form:
        given["answer"] = form["answer"]
    body = bodies.Decide.model_validate(given)
    request_id = visit.request.path_params["request_id"]
    await visit.service.decide(session_id, request_id, by=visit.caller.name, **dict(body))
    return _back(visit, session_id)


async def pause(visit: Visit) -> Response:
    return await _for_a_reason(visit, visit.service.pause)


async def resume(visit: Visit) -> Response:
    """With more of the budget, where that is filled in."""
    await visit.spends()
    session_id, caller = await visit.session_id(), visit.caller
    given = {name: visit.form[name] for name in AMOUNTS if visit.form.get(name)}
    more: Budget = bodies.Resume.model_validate({"more": given}).budget
    await visit.service.resume(session_id, by=caller.name, more=more, payer=caller.key_id)
    return _back(visit, session_id)


async def cancel(visit: Visit) -> Response:
    return await _for_a_reason(visit, visit.service.cancel)


async def fork(visit: Visit) -> Response:
    """At an event, or at the last."""
    await visit.spends()
    session_id, place = await visit.session_id(), number(visit.form.get("at", ""), None)
    made = await visit.service.fork(session_id, at=place, key_id=visit.caller.key_id)
    return go(f"/sessions/{made}")


def _once(visit: Visit) -> str:
    once = visit.form.get("once") or uuid4().hex
    if not WORD.fullmatch(once):
        raise HTTPException(400, "the word of this form is none of ours: load the page again")
    return f"console:{once}"


async def _for_a_reason(visit: Visit, act: Callable[..., Awaitable[object]]) -> Response:
    visit.needs("chat")
    session_id = await visit.session_id()
    reason = bodies.Reason(reason=visit.form.get("reason", "")).reason
    await act(session_id, by=visit.caller.name, reason=reason)
    return _back(visit, session_id)


def _back(visit: Visit, session_id: str) -> Response:
    return go(local(visit.form.get("to") or f"/sessions/{session_id}"))


ONE = "/sessions/{session_id}"
routes = [
    post("/", start),
    post(f"{ONE}/messages", say),
    post(ONE + "/approvals/{request_id}", decide),
    post(f"{ONE}/pause", pause),
    post(f"{ONE}/resume", resume),
    post(f"{ONE}/cancel", cancel),
    post(f"{ONE}/fork", fork),
]

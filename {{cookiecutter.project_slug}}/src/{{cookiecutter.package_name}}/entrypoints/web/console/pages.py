"""What can be looked at: the list of sessions, one of them, the inbox and the overview."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast, get_args
from uuid import uuid4

from starlette.responses import Response

from ....agent.events import storable
from ....agent.session import Status
from ....errors import Conflict, NotFound
from ..shapes import Cursor
from .charts import DAYS, OUTCOMES, fill
from .live import live
from .views import SAID, Asked, Part, budget, row, shown
from .visits import Visit, get

LIST, EVENTS, TALK, ASKED = 25, 50, 20, 20
LAST = 2**31 - 1
STALLED_SECONDS = 60.0
LINES = 10
WHOLE = 500_000
"""Of one event: more than this no browser shows with pleasure."""


async def sessions(visit: Visit) -> Response:
    """Page by page, the newest first."""
    query = visit.request.query_params
    status = cast("Status", given) if (given := query.get("status")) in get_args(Status) else None
    agent = str(storable(query.get("agent", "")))
    found = await visit.service.sessions.list(
        owner=visit.caller.owner,
        status=status,
        agent=agent or None,
        before=_cursor(query.get("before", "")),
        limit=LIST + 1,
    )
    return await visit.page(
        "sessions.html",
        sessions=found[:LIST],
        older=Cursor.of(found[LIST - 1]) if len(found) > LIST else "",
        is_first="before" not in query,
        wanted=status or "",
        agent=agent,
        agents=list(visit.service.agents.values()),
        default_agent=visit.service.default_agent or next(iter(visit.service.agents), ""),
        once=uuid4().hex,
    )


async def session(visit: Visit) -> Response:
    """The end of a session, or an earlier part of it."""
    session_id = await visit.session_id()
    service, figures = visit.service, visit.figures
    summary, thread, links = await asyncio.gather(
        service.summary(session_id), service.thread(session_id), figures.links(session_id)
    )
    upto = min(visit.asked("upto", LAST), thread.seq)
    before = visit.asked("before", LAST)
    after = max(upto - EVENTS, 0)
    events, said = await asyncio.gather(
        service.events(session_id, after=after, limit=upto - after or 1),
        figures.said(session_id, kinds=SAID, before=before, limit=TALK + 1),
    )
    parent, forks = links
    return await visit.page(
        "session.html",
        summary=summary,
        session=thread.session,
        asked=Asked(session_id=session_id, title=summary.title, thread=thread),
        seq=thread.seq,
        rows=[row(stored, prompt=thread.session.prompt) for stored in events],
        said=said[-TALK:],
        earlier=said[1].seq if len(said) > TALK else 0,
        is_now=upto == thread.seq and before == LAST,
        after=after,
        upto=upto,
        budget=budget(thread.session, service.agents.get(thread.session.agent)),
        parent=parent,
        forks=forks,
        per_page=EVENTS,
        shown=shown,
        once=uuid4().hex,
    )


async def event(visit: Visit) -> Response:
    """One event, whole."""
    session_id = await visit.session_id()
    seq = visit.request.path_params["seq"]
    place = int(seq) if seq.isascii() and seq.isdecimal() and len(seq) < len(str(LAST)) else 0
    found = await visit.service.events(session_id, after=max(place - 1, 0), limit=1)
    if not found or found[0].seq != place:
        raise NotFound(f"session {session_id} has no event {seq}")
    summary = await visit.service.summary(session_id)
    whole = Part.of("Event", found[0].event.model_dump(mode="json"), WHOLE)
    told = row(found[0], prompt=summary.prompt)
    return await visit.page("event.html", summary=summary, row=told, whole=whole)


async def inbox(visit: Visit) -> Response:
    """Whatever waits for a person: approvals, questions, and budgets that are spent. Page by page,
    the oldest first, so that nothing that is new puts it off.
    """
    service, after = visit.service, visit.request.query_params.get("after", "")
    found = await visit.figures.asked(visit.caller.owner, after=_cursor(after), limit=ASKED + 1)
    page = found[:ASKED]
    threads = await asyncio.gather(*(service.sessions.load(summary.id) for summary in page))
    asked = [
        Asked(session_id=summary.id, title=summary.title, thread=thread)
        for summary, thread in zip(page, threads, strict=True)
        if thread and (thread.session.pending or thread.session.spent)
    ]
    agents = service.agents
    budgets = {
        one.session_id: budget(one.thread.session, agents.get(one.thread.session.agent))
        for one in asked
        if one.is_spent
    }
    return await visit.page(
        "inbox.html",
        asked=asked,
        budgets=budgets,
        more=Cursor.of(page[-1]) if len(found) > ASKED else "",
        after=after,
    )


async def overview(visit: Visit) -> Response:
    """Figures of the owner's sessions; of the whole service only to who may administer it."""
    figures, today = visit.figures, visit.service.clock().astimezone(UTC).date()
    days = await figures.days(visit.caller.owner, since=today - timedelta(days=DAYS - 1))
    work, alive = [], []
    if may_see := visit.may("admin"):
        work, alive = await asyncio.gather(
            figures.work(stalled=STALLED_SECONDS), visit.request.state.upkeep.processes.alive()
        )
    return await visit.page(
        "overview.html",
        days=fill(days, today),
        outcomes=OUTCOMES,
        may_see=may_see,
        work=work,
        alive=alive,
        ledger=await figures.ledger(limit=LINES),
    )


def _cursor(given: str) -> tuple[datetime, str] | None:
    if not given:
        return None
    try:
        return Cursor.read(Cursor.check(given))
    except ValueError:
        raise Conflict("this address is no page of the list: begin at its first") from None


ONE = "/sessions/{session_id}"
routes = [
    get("/", sessions),
    get(ONE, session),
    get(f"{ONE}/live", live),
    get(ONE + "/events/{seq}", event),
    get("/inbox", inbox),
    get("/overview", overview),
]

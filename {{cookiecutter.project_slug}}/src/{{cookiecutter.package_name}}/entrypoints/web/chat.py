"""The HTTP API of sessions. Each route is a use case and its shape, nothing more."""

from collections.abc import Awaitable, Callable
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import AfterValidator

from ...agent.history import Stored
from ...agent.session import Status
from ...errors import Unavailable
from ...telemetry.logs import session
from . import bodies, shapes, stream
from .callers import Admin, Approver, Chatter, Spender
from .prefer import PreferDep
from .problems import responses

PREFIX = "/chat/sessions"
LAST_PLACE = 2**31 - 1
BODY = (400, 413, 422)
router = APIRouter(prefix=PREFIX, tags=["chat"], responses=responses(401, 403, 429, 431, 500, 503))


async def _session_id(request: Request, session_id: UUID) -> str:
    """A session of the caller's own: another's is as good as none."""
    session.set(str(session_id))  # until the request has ended
    await request.state.service.check_owner(str(session_id), request.state.caller.owner)
    return str(session_id)


async def _stopping(request: Request) -> Callable[[], bool]:
    """A HEAD request waits for nothing: it is over as soon as its headers are sent."""
    if request.scope.get("is_head"):
        return lambda: True
    return cast("stream.Stopping", request.state.stopping)


async def _is_let_in(request: Request) -> Callable[[], Awaitable[bool]]:
    """Whether the key is still good: while a stream lasts it may be revoked, or expire."""
    key = request.headers["authorization"].partition(" ")[2].strip()

    async def is_let_in() -> bool:
        try:
            return await request.state.identity.who(key) is not None
        except Unavailable:  # who can't ask for it has nothing to tell either
            return True

    return is_let_in


SessionId = Annotated[str, Depends(_session_id)]
StoppingDep = Annotated[Callable[[], bool], Depends(_stopping)]
LetInDep = Annotated[Callable[[], Awaitable[bool]], Depends(_is_let_in)]
RequestId = Annotated[str, Path(max_length=64)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)]
AgentName = Annotated[str | None, Query(pattern="^[A-Za-z0-9_-]*$", max_length=64)]
CursorText = Annotated[str, AfterValidator(shapes.Cursor.check)]
Cursor = Annotated[CursorText | None, Query(max_length=200)]
Limit = Annotated[int, Query(ge=1, le=100)]
Place = Annotated[int, Query(ge=0, le=LAST_PLACE)]


@router.post("", status_code=201, responses=responses(404, *BODY))
async def start(
    desk: Spender, response: Response, body: bodies.Start | None = None
) -> shapes.Started:
    """Start a session with an agent."""
    body = body or bodies.Start()
    session_id = await desk.service.start(
        agent=body.agent, metadata=body.metadata, whose=desk.caller.whose
    )
    return started(session_id, response)


@router.get("", responses=responses(422))
async def sessions(
    *,
    desk: Chatter,
    status: Status | None = None,
    agent: AgentName = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> shapes.Sessions:
    """The sessions, newest first, page by page."""
    before = shapes.Cursor.read(cursor) if cursor else None
    found = await desk.service.sessions.list(
        owner=desk.caller.owner, status=status, agent=agent, before=before, limit=limit + 1
    )
    page = found[:limit]
    more = len(found) > limit
    return shapes.Sessions(sessions=page, next=shapes.Cursor.of(page[-1]) if more else None)


@router.get("/{session_id}", responses=responses(404, 422))
async def state(desk: Chatter, session_id: SessionId) -> shapes.State:
    """What is known of a session."""
    summary = await desk.service.summary(session_id)
    return shapes.State.of(summary, await desk.service.thread(session_id))


@router.delete("/{session_id}", status_code=204, responses=responses(404, 422))
async def delete(desk: Admin, session_id: SessionId) -> None:
    """Delete a session with all that belongs to it."""
    await desk.service.delete(session_id)


@router.post(
    "/{session_id}/messages",
    responses=responses(404, 409, *BODY)
    | {202: {"model": shapes.Told, "description": "Not answered yet; …/events tells when"}},
)
async def say(  # noqa: PLR0913
    *,
    desk: Spender,
    stopping: StoppingDep,
    response: Response,
    session_id: SessionId,
    body: bodies.Say,
    prefer: PreferDep,
    key: Key = None,
) -> shapes.Told:
    """Say something, and wait for what comes of it."""
    seq = await desk.service.say(
        session_id, body.text, by=desk.caller.name, key=key, payer=desk.caller.key_id
    )
    reply = await desk.service.reply(session_id, seq, seconds=prefer.seconds, stopping=stopping)
    if prefer.applied:
        response.headers["Preference-Applied"] = prefer.applied
    if prefer.at_once or not reply.is_settled:
        response.status_code = 202
        response.headers["Location"] = f"{PREFIX}/{session_id}"
    return shapes.Told.of(reply)


@router.get("/{session_id}/history", responses=responses(404, 422))
async def history(desk: Chatter, session_id: SessionId) -> shapes.History:
    """What was said, and what came back: one entry an exchange, in order."""
    return shapes.History(history=await desk.service.history(session_id))


@router.get(
    "/{session_id}/events",
    response_model=shapes.Events,
    responses=responses(404, 422) | {200: {"content": stream.CONTENT}},
)
async def events(  # noqa: PLR0913
    *,
    desk: Chatter,
    stopping: StoppingDep,
    is_let_in: LetInDep,
    request: Request,
    session_id: SessionId,
    after: Place = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    last_event_id: Annotated[int | None, Header(ge=0, le=LAST_PLACE)] = None,
) -> Response:
    """Every event after a place: a page of JSON, or a stream, as `Accept` wants it."""
    if stream.MEDIA_TYPE not in request.headers.get("accept", ""):
        return _page(await desk.service.events(session_id, after=after, limit=limit + 1), limit)
    await desk.service.summary(session_id)
    after = after if last_event_id is None else last_event_id
    return stream.respond(
        desk.service, session_id, after=after, stopping=stopping, is_let_in=is_let_in
    )


@router.post("/{session_id}/approvals/{request_id}", responses=responses(404, 409, *BODY))
async def decide(
    desk: Approver, session_id: SessionId, request_id: RequestId, body: bodies.Decide
) -> shapes.Standing:
    """Approve or deny what the agent wants to do, or answer what it asks."""
    thread = await desk.service.decide(session_id, request_id, by=desk.caller.name, **dict(body))
    return shapes.Standing.of(thread)


@router.post("/{session_id}/pause", responses=responses(404, 409, *BODY))
async def pause(
    desk: Chatter, session_id: SessionId, body: bodies.Reason | None = None
) -> shapes.Standing:
    """Pause a session: what is being done is finished, nothing more is begun."""
    reason = body.reason if body else ""
    return shapes.Standing.of(
        await desk.service.pause(session_id, by=desk.caller.name, reason=reason)
    )


@router.post("/{session_id}/resume", responses=responses(404, 409, *BODY))
async def resume(
    desk: Spender, session_id: SessionId, body: bodies.Resume | None = None
) -> shapes.Standing:
    """Resume a paused session, with a bigger budget where that is spent."""
    more = (body or bodies.Resume()).budget
    thread = await desk.service.resume(
        session_id, by=desk.caller.name, more=more, payer=desk.caller.key_id
    )
    return shapes.Standing.of(thread)


@router.post("/{session_id}/cancel", responses=responses(404, *BODY))
async def cancel(
    desk: Chatter, session_id: SessionId, body: bodies.Reason | None = None
) -> shapes.Standing:
    """End a session for good."""
    reason = body.reason if body else ""
    return shapes.Standing.of(
        await desk.service.cancel(session_id, by=desk.caller.name, reason=reason)
    )


@router.post("/{session_id}/fork", status_code=201, responses=responses(404, 422))
async def fork(
    desk: Spender,
    response: Response,
    session_id: SessionId,
    at: Annotated[int | None, Query(ge=1, le=LAST_PLACE)] = None,
) -> shapes.Started:
    """Start a session with the events of this one, up to there."""
    return started(await desk.service.fork(session_id, at=at, key_id=desk.caller.key_id), response)


def started(session_id: str, response: Response) -> shapes.Started:
    response.headers["Location"] = f"{PREFIX}/{session_id}"
    return shapes.Started(session_id=session_id)


def _page(found: list[Stored], limit: int) -> Response:
    """Written as each event writes itself: a second model would only cost time."""
    events = ",".join(map(shapes.placed, found[:limit]))
    next_ = found[limit - 1].seq if len(found) > limit else "null"
    return Response(f'{{"events":[{events}],"next":{next_}}}', media_type="application/json")

"""What comes out of the chat routes, and so the OpenAPI document."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel
from pydantic import GetJsonSchemaHandler as Handler

from ...agent.events import AnyEvent, Task, Usage
from ...agent.history import Exchange, Stored
from ...agent.session import OpenCall, Status, Thread
from ...ports import Summary
from ...service import Reply


class Cursor(BaseModel):
    """Where a page ended. What it looks like is nobody's business."""

    at: AwareDatetime
    id: UUID

    @classmethod
    def of(cls, summary: Summary) -> str:
        cursor = cls(at=summary.created_at, id=UUID(summary.id))
        return urlsafe_b64encode(cursor.model_dump_json().encode()).decode()

    @classmethod
    def read(cls, text: str) -> tuple[datetime, str]:
        cursor = cls.model_validate_json(urlsafe_b64decode(text))
        return cursor.at, str(cursor.id)

    @classmethod
    def check(cls, text: str) -> str:
        try:
            cls.read(text)
        except ValueError:
            msg = "it is no cursor: send `next` of the page before as it is"
            raise ValueError(msg) from None
        return text


class Started(BaseModel):
    session_id: str


class Pending(BaseModel):
    """A decision that a person owes: POST it to …/approvals/{request_id}."""

    request_id: str
    tool: str
    arguments: dict[str, Any]
    """Exactly what the tool will be called with."""
    waits_for: Literal["approval", "answer"]
    reason: str
    expires_at: datetime | None

    @classmethod
    def all_of(cls, thread: Thread) -> list["Pending"]:
        return [cls._of(call) for call in thread.session.pending]

    @classmethod
    def _of(cls, open_: OpenCall) -> "Pending":
        return cls(
            request_id=open_.call.id,
            tool=open_.call.tool,
            arguments=open_.call.arguments,
            waits_for="answer" if open_.permission == "answer" else "approval",
            reason=open_.reason,
            expires_at=open_.expires_at,
        )


class Told(BaseModel):
    """What came of a message; `response` is null while a decision is pending, or work goes on."""

    response: str | None
    status: Status
    session_id: str
    usage: Usage
    """Of this message alone."""
    pending: list[Pending]

    @classmethod
    def of(cls, reply: Reply) -> Self:
        return cls(
            response=reply.exchange.response,
            status=reply.thread.session.status,
            session_id=reply.thread.id,
            usage=reply.exchange.usage,
            pending=Pending.all_of(reply.thread),
        )


class Standing(BaseModel):
    """Where a session stands after it was changed."""

    session_id: str
    status: Status
    seq: int
    """The place of its last event: …/events?after=seq gives what comes next."""
    pending: list[Pending]

    @classmethod
    def of(cls, thread: Thread) -> Self:
        return cls(
            session_id=thread.id,
            status=thread.session.status,
            seq=thread.seq,
            pending=Pending.all_of(thread),
        )


class State(BaseModel):
    """All that is known of a session but its events."""

    id: str
    agent: str
    status: Status
    prompt: str
    """The version of the prompt that it is pinned to."""
    title: str
    metadata: dict[str, Any]
    lane: str
    seq: int
    usage: Usage
    steps: int
    """Model calls for the last message."""
    plan: tuple[Task, ...]
    facts: dict[str, Any]
    pending: list[Pending]
    paused: str | None
    """Why, where it is."""
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, summary: Summary, thread: Thread) -> Self:
        known = vars(summary) | dict(thread.session)
        status = thread.session.status
        return cls(**known | {"status": status, "pending": Pending.all_of(thread)})


class Sessions(BaseModel):
    sessions: list[Summary]
    next: str | None
    """The cursor of the next page; null on the last."""


class History(BaseModel):
    history: list[Exchange]


class _Placed:
    """The JSON schema of an event with its place."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: Handler) -> dict[str, Any]:
        place = {"type": "object", "properties": {"seq": {"type": "integer"}}, "required": ["seq"]}
        return {"allOf": [handler(schema), place]}


class Events(BaseModel):
    events: list[Annotated[AnyEvent, _Placed()]]
    next: int | None
    """What to ask for `after` this page; null on the last."""


def placed(stored: Stored) -> str:
    """An event with its place, as JSON."""
    return f'{{"seq":{stored.seq},{stored.event.model_dump_json()[1:]}'

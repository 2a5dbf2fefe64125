"""What goes into the chat routes: checked here, so that nothing unfit gets any further."""

import json
from contextlib import suppress
from decimal import Decimal
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from ...agent.events import Budget, storable

METADATA_BYTES = 10_000
METADATA_LEVELS = 10
MOST_FIELDS = 20
URL = r"^https?://[!-+.-~-]+$"
"""In ASCII, as it is sent; a comma parts the recipients of a setting."""


def _not_blank(text: str) -> str:
    if not text.strip():
        msg = "it holds nothing but blanks"
        raise ValueError(msg)
    return text


def _small(metadata: object) -> object:
    """As it can be stored and read again: no NaN, no tower of brackets. Its size comes first:
    the rest takes long where there is much of it.
    """
    with suppress(RecursionError):  # which the levels will name
        _check_size(len(json.dumps(metadata, ensure_ascii=False)))
    if _levels(metadata) > METADATA_LEVELS:
        msg = f"it is nested more than {METADATA_LEVELS} levels deep"
        raise ValueError(msg)
    metadata = storable(metadata)
    _check_size(len(json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode()))
    return metadata


def _check_size(size: int) -> None:
    if size > METADATA_BYTES:
        msg = f"it has {size} bytes as JSON, and {METADATA_BYTES} is the most"
        raise ValueError(msg)


def _levels(value: object, above: int = 0) -> int:
    """How deep it is nested; counted no further than matters."""
    parts = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(parts, list) or above > METADATA_LEVELS:
        return above
    return max((_levels(part, above + 1) for part in parts), default=above + 1)


Clean = BeforeValidator(storable)
Text = Annotated[str, Field(min_length=1, max_length=100_000), Clean, AfterValidator(_not_blank)]
Remark = Annotated[str, Field(max_length=10_000), Clean]
Metadata = Annotated[dict[str, Any], BeforeValidator(_small)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _is_bounded(cls, given: object) -> object:
        """Each unknown field would be a fault of its own: a body full of them takes seconds."""
        if isinstance(given, dict) and len(given) > MOST_FIELDS:
            msg = f"it has {len(given)} fields, and {MOST_FIELDS} is the most"
            raise ValueError(msg)
        return given


class Start(Body):
    agent: Annotated[str | None, Field(max_length=64)] = None
    """Which agent to talk to; without it, the one that DEFAULT_AGENT names."""
    metadata: Metadata = {}
    """Whatever the caller wants to find again: at most 10 kB of JSON."""


class Say(Body):
    text: Text


class Delivery(Start):
    """What a webhook brings: a message, or the code of a request and what is decided on that."""

    text: Text | None = None
    session_id: UUID | None = None
    """In which session; without it, in a new one."""
    reply_to: Annotated[str | None, Field(max_length=2_000, pattern=URL)] = None
    """Where notices of what comes of it go, signed alike."""
    code: Annotated[str, Field(max_length=64)] = ""
    approved: Annotated[bool | None, Field(strict=True)] = None
    comment: Remark = ""
    answer: Remark = ""

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if bool(self.code) == bool(self.text):
            msg = "it has a text, or else a code and whether that is approved"
            raise ValueError(msg)
        if bool(self.code) != (self.approved is not None):
            msg = "`code` and `approved` go together"
            raise ValueError(msg)
        return self


class Decide(Body):
    approved: Annotated[bool, Field(strict=True)]
    comment: Remark = ""
    answer: Text | None = None
    """What to tell the agent, where it asked a question."""


class Reason(Body):
    reason: Remark = ""


class More(Body):
    """What is added to the limits that the session has."""

    steps: Annotated[int, Field(ge=0, le=10_000)] = 0
    tokens: Annotated[int, Field(ge=0, le=10**9)] = 0
    cost: Annotated[Decimal, Field(ge=0, le=10**6, decimal_places=6)] = Decimal(0)
    seconds: Annotated[float, Field(ge=0, le=10**8)] = 0


class Resume(Body):
    more: More = More()

    @property
    def budget(self) -> Budget:
        return Budget(**dict(self.more))

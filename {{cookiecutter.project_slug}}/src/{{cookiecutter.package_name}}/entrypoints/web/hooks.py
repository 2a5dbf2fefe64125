"""Messages of other programs, signed instead of keyed: each sender of WEBHOOKS has its secret."""

import logging
import time
from collections.abc import Iterable
from typing import Annotated
from uuid import UUID, uuid5

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from ...channels import Address, Channels
from ...service import OPERATOR
from ...signatures import NotSigned, secrets_of, verify
from . import bodies, shapes
from .callers import SIGNED
from .chat import started
from .problems import responses
from .routes import ServiceDep

log = logging.getLogger(__name__)

SENT = UUID("6f0f52f8-3a0e-4b1c-9c53-1f6a3f0a7d4e")
"""A repeat of a delivery makes the same session id of it, and so no second session."""
router = APIRouter(prefix=SIGNED, tags=["webhooks"], responses=responses(401, 431, 500, 503))

HEADER = "Webhook-Signature"
Sender = Annotated[str, Path(max_length=64)]
Signature = Annotated[
    str | None, Header(alias=HEADER, description="t=SECOND,v1=HMAC-SHA256 of t.body")
]


BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": bodies.Delivery.model_json_schema()}},
    }
}


@router.post(
    "/{sender}", status_code=202, responses=responses(404, 409, 413, 422), openapi_extra=BODY
)
async def receive(
    service: ServiceDep,
    request: Request,
    response: Response,
    sender: Sender,
    _: Signature = None,
) -> shapes.Started:
    """Say something in a session, start one with it, or decide; a repeat of it does nothing."""
    channels: Channels = request.state.channels
    delivery, known = await _delivered(request, sender)
    by = f"webhook:{sender}"
    if delivery.code:
        session_id = await channels.decide(
            delivery.code,
            approved=bool(delivery.approved),
            by=by,
            comment=delivery.comment,
            answer=delivery.answer or None,
        )
        return started(session_id, response)
    session_id = str(delivery.session_id or uuid5(SENT, known))
    if delivery.session_id:
        await service.check_owner(session_id, OPERATOR.owner)
    else:
        await service.start(agent=delivery.agent, metadata=delivery.metadata, session_id=session_id)
    if delivery.reply_to:
        address = Address("webhook", f"{sender}@{delivery.reply_to}")
        speakers = (await service.thread(session_id)).session.speakers
        await channels.follow(session_id, address, is_guest=speakers[:1] not in {(), (by,)})
    await service.say(session_id, delivery.text or "", by=by, key=known)
    return started(session_id, response)


async def signed(
    request: Request, secrets: Iterable[str], refusal: str, **who: str
) -> tuple[bytes, str]:
    """The body, and what names it; of two signatures neither counts."""
    body = await request.body()
    signature = ",".join(request.headers.getlist(HEADER))
    try:
        return body, verify(signature, body, secrets, now=time.time())
    except NotSigned as refused:
        log.warning(refusal, extra=who | {"reason": refused.reason})
        raise


async def _delivered(request: Request, sender: str) -> tuple[bodies.Delivery, str]:
    """What was sent, and its name; before a signature holds nothing of it is looked at."""
    secrets = secrets_of(sender, request.app.state.settings)
    body, name = await signed(request, secrets, "webhook refused", sender=sender)
    try:
        return bodies.Delivery.model_validate_json(body), f"{sender}:{name}"
    except ValidationError as error:
        faults = [fault | {"loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from None

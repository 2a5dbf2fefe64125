"""The door for e-mail: a mail server hands over each message as it came, signed as webhooks are."""

import asyncio
import logging
import re
from typing import Annotated, Literal

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from pydantic import BaseModel

from ...adapters import letters
from ...channels import Address, Channels, Notice
from ...deliverer import Deliverer
from ...errors import AppError, Conflict, Forbidden, NotFound
from ...settings import Settings, listed
from ...signatures import MAIL, keys_for
from .hooks import signed
from .routes import ChannelsDep

log = logging.getLogger(__name__)

CHANNEL, HIDDEN = "mail", "(a code)"
router = APIRouter(prefix="/channels", include_in_schema=False)


class Taken(BaseModel):
    """What became of a message."""

    outcome: Literal["said", "decided", "ignored"]
    session_id: str | None = None
    why: str = ""


async def _signed(request: Request) -> bytes:
    secrets = keys_for(MAIL, request.app.state.settings)
    body, _ = await signed(request, secrets, "mail refused")
    return body


Signed = Annotated[bytes, Depends(_signed)]


@router.post("/mail", status_code=202)
async def receive(
    request: Request, body: Signed, channels: ChannelsDep, tasks: BackgroundTasks
) -> Taken:
    """A message of a known sender is its thread's session's; with a code it decides, and is no
    message. What nobody is to be answered for is ignored, and so is not sent again.
    """
    if why := _unheard(letters.sender_of(body), request.app.state.settings):
        return _ignored(why)
    letter = await asyncio.to_thread(letters.read, body)
    if not letter.text:
        return _ignored("it says nothing")
    decision = letters.decision(letter.text)
    try:
        if decision and await _is_holder(letter, decision.code, channels):
            return await _decided(letter, decision, channels)
        return await _said(letter, decision, channels)
    except (Conflict, Forbidden, NotFound) as error:  # another try would do no better
        tasks.add_task(_tell, request.state.deliverer, letter, str(error))
        return _ignored(str(error))


def _unheard(sender: letters.Sender, settings: Settings) -> str:
    """Why nobody is to hear of it; empty where somebody is."""
    if sender.automatic:
        return f"it is automatic: {sender.automatic}"
    if sender.address == settings.mail_from.lower():
        return "it is ours"
    known, host = listed(settings.mail_senders.lower()), sender.address.rpartition("@")[2]
    if not sender.address or not {sender.address, f"@{host}"} & set(known):
        return "its sender is none of MAIL_SENDERS"
    return ""


def _ignored(why: str) -> Taken:
    log.info("mail ignored", extra={"reason": why})
    return Taken(outcome="ignored", why=why)


async def _is_holder(letter: letters.Letter, code: str, channels: Channels) -> bool:
    """Whether the code was sent to who sends it back: of all others it is only text."""
    try:
        holder = await channels.holder(code, to=letter.sender)
    except NotFound:
        return False
    return holder.address.channel == CHANNEL


async def _decided(letter: letters.Letter, decision: letters.Decision, channels: Channels) -> Taken:
    is_answer = decision.verb == "answer"
    session_id = await channels.decide(
        decision.code,
        approved=decision.verb != "refuse",
        by=f"mail:{letter.sender}",
        comment="" if is_answer else decision.rest,
        answer=decision.rest if is_answer else None,
        to=letter.sender,
    )
    return Taken(outcome="decided", session_id=session_id)


async def _said(
    letter: letters.Letter, decision: letters.Decision | None, channels: Channels
) -> Taken:
    """A code in it that decides nothing here may be somebody else's: it is not passed on."""
    text = letter.text
    if decision:
        text = re.sub(re.escape(decision.code), HIDDEN, text, flags=re.IGNORECASE)
    address = Address(CHANNEL, letter.thread, letter.details)
    session_id = await channels.receive(
        address,
        text=text,
        key=f"mail:{letters.thread_of(letter.id)}",
        by=f"mail:{letter.sender}",
    )
    return Taken(outcome="said", session_id=session_id)


async def _tell(deliverer: Deliverer, letter: letters.Letter, why: str) -> None:
    """Whoever wrote it, and would wait for an answer."""
    notice = Notice(
        key=f"untaken-{letters.thread_of(letter.id)}",
        address=Address(CHANNEL, letter.thread, letter.details),
        kind="trouble",
        text=f"Your message has changed nothing: {why}",
        session_id="",
    )
    try:
        await deliverer.way(CHANNEL).deliver(notice)
    except AppError as error:
        log.warning("mail was not answered", extra={"error": str(error)})

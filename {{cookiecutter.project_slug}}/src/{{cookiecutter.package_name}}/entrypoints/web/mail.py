"""The door for e-mail: a mail server hands over each message as it came, signed as webhooks are."""

import logging
import re
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from ...adapters import letters
from ...channels import Address, Channels
from ...errors import Conflict, Forbidden, NotFound
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


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


Signed = Annotated[bytes, Depends(_signed)]
SettingsDep = Annotated[Settings, Depends(_settings)]


@router.post("/mail", status_code=202)
async def receive(body: Signed, settings: SettingsDep, channels: ChannelsDep) -> Taken:
    """A message of a known sender is its thread's session's; with a code it decides, and is no
    message. What nobody is to be answered for is ignored, and so is not sent again.
    """
    letter = letters.read(body)
    if why := _unheard(letter, settings):
        log.info("mail ignored", extra={"reason": why})
        return Taken(outcome="ignored", why=why)
    decision = letters.decision(letter.text)
    if decision and await _is_holder(letter, decision.code, channels):
        return await _decided(letter, decision, channels)
    return await _said(letter, decision, channels)


def _unheard(letter: letters.Letter, settings: Settings) -> str:
    """Why nobody is to hear of it; empty where somebody is."""
    if letter.automatic:
        return f"it is automatic: {letter.automatic}"
    if letter.sender == settings.mail_from.lower():
        return "it is ours"
    known, host = listed(settings.mail_senders.lower()), letter.sender.rpartition("@")[2]
    if not letter.sender or not {letter.sender, f"@{host}"} & set(known):
        return "its sender is none of MAIL_SENDERS"
    return "" if letter.text else "it says nothing"


async def _is_holder(letter: letters.Letter, code: str, channels: Channels) -> bool:
    """Whether the code was sent to who sends it back: of all others it is only text."""
    try:
        holder = await channels.holder(code)
    except NotFound:
        return False
    address = holder.address
    held_by = str(address.details.get("to") or address.thread).lower()
    return address.channel == CHANNEL and held_by == letter.sender


async def _decided(letter: letters.Letter, decision: letters.Decision, channels: Channels) -> Taken:
    is_refusal, is_answer = decision.verb == "refuse", decision.verb == "answer"
    try:
        session_id = await channels.decide(
            decision.code,
            approved=not is_refusal,
            by=f"mail:{letter.sender}",
            comment="" if is_answer else decision.rest,
            answer=decision.rest if is_answer else "",
        )
    except (Conflict, Forbidden, NotFound) as error:
        log.warning("mail decided nothing", extra={"reason": str(error)})
        return Taken(outcome="ignored", why=str(error))
    return Taken(outcome="decided", session_id=session_id)


async def _said(
    letter: letters.Letter, decision: letters.Decision | None, channels: Channels
) -> Taken:
    """A code in it that decides nothing here may be somebody else's: it is not passed on."""
    text = letter.text
    if decision:
        text = re.sub(re.escape(decision.code), HIDDEN, text, flags=re.IGNORECASE)
    address = Address(CHANNEL, letter.thread, letter.details)
    try:
        session_id = await channels.receive(
            address,
            text=text,
            key=f"mail:{letters.thread_of(letter.id)}",
            by=f"mail:{letter.sender}",
        )
    except Conflict as error:
        log.warning("mail was not taken", extra={"reason": str(error)})
        return Taken(outcome="ignored", why=str(error))
    return Taken(outcome="said", session_id=session_id)

"""Slack's doors: what people say to the app, its slash command, the buttons of its messages.

Each is answered at once: what came is stored and queued, and Slack is told more about it later.
"""

import hmac
import logging
import re
import time
from collections.abc import Awaitable
from hashlib import sha256
from typing import Annotated, TypeVar, cast
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from ...adapters.slack import Slack
from ...adapters.slack_blocks import INPUT, escaped, modal, shortened
from ...channels import Address
from ...errors import AppError, Conflict, Forbidden, NotFound
from ...signatures import WINDOW_SECONDS, NotSigned
from .routes import ChannelsDep
from .slack_payloads import Interaction, Place, Press, Private, Told, View, heard, plain

log = logging.getLogger(__name__)

STAMP, SIGNATURE = "X-Slack-Request-Timestamp", "X-Slack-Signature"
STAMPED = re.compile(r"[0-9]{1,12}")
MOST_SHOWN = 1_500
router = APIRouter(prefix="/channels/slack", include_in_schema=False)
T = TypeVar("T", Told, Interaction, Private)


def check(stamp: str, signature: str, body: bytes, *, secret: str, now: float) -> None:
    """Raises NotSigned where Slack did not sign exactly this, in the last five minutes."""
    if not STAMPED.fullmatch(stamp):
        raise NotSigned("there is no time of signing")
    made = hmac.digest(secret.encode(), f"v0:{stamp}:".encode() + body, "sha256").hex()
    if not hmac.compare_digest(f"v0={made}".encode(), signature.encode()):
        raise NotSigned("SLACK_SIGNING_SECRET makes another signature")
    if abs(now - int(stamp)) > WINDOW_SECONDS:
        raise NotSigned(f"it was signed {now - int(stamp):+.0f} s ago")


async def _signed(request: Request) -> bytes:
    """The body, of which nothing is looked at before; of two signatures neither counts."""
    body, headers = await request.body(), request.headers
    stamp, signature = (",".join(headers.getlist(name)) for name in (STAMP, SIGNATURE))
    secret = request.app.state.settings.slack_signing_secret.get_secret_value()
    try:
        check(stamp, signature, body, secret=secret, now=time.time())
    except NotSigned as refused:
        log.warning("slack refused", extra={"reason": refused.reason})
        raise
    return body


async def _slack(request: Request) -> Slack:
    return cast("Slack", request.state.deliverer.way("slack"))


Signed = Annotated[bytes, Depends(_signed)]
SlackDep = Annotated[Slack, Depends(_slack)]


@router.post("/events")
async def events(body: Signed, channels: ChannelsDep, slack: SlackDep) -> Response:
    """A message to the app, which is its thread's session's; a repeat of it does nothing."""
    told = _read(Told, body)
    if told.type == "url_verification":
        return JSONResponse({"challenge": told.challenge})
    if (said := heard(told)) is None:
        return Response()
    address = Address("slack", f"{said.channel}/{said.root}")
    key, by = f"slack:{said.channel}:{said.ts}", f"slack:{said.user}"
    try:
        await channels.receive(address, text=said.text, key=key, by=by)
    except (Conflict, NotFound) as error:  # another try would do no better
        return _then(slack.whisper(said.channel, said.root, said.user, escaped(str(error))))
    return Response()


@router.post("/commands")
async def commands(request: Request, body: Signed, channels: ChannelsDep) -> Response:
    """What stands behind the slash command begins a session; its thread is opened by the answer."""
    given = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    channel, user = given.get("channel_id", ""), given.get("user_id", "")
    if not (text := plain(given.get("text", ""))):
        return _tell(f"Say what you want: `{given.get('command', '/agent')} …`")
    if not channel or not user or not (trigger := given.get("trigger_id")):
        raise HTTPException(400, "it is no slash command")
    key = f"command-{sha256(trigger.encode()).hexdigest()[:32]}"
    details = {"user": user, "text": text, "since": request.headers[STAMP]}
    address = Address("slack", f"{channel}/{key}", details)
    try:
        await channels.receive(address, text=text, key=key, by=f"slack:{user}")
    except (Conflict, NotFound) as error:
        return _tell(str(error))
    return _tell("On it. The answer comes in this channel.")


@router.post("/actions")
async def actions(body: Signed, channels: ChannelsDep, slack: SlackDep) -> Response:
    """A button that was pressed, or a window that was sent."""
    given = dict(parse_qsl(body.decode(errors="replace")))
    acted = _read(Interaction, given.get("payload", "").encode())
    if acted.view and acted.type == "view_submission":
        return await _sent(acted.view, acted.user.id, channels, slack)
    if acted.actions and acted.type == "block_actions":
        return await _pressed(acted, acted.actions[0], channels, slack)
    return Response()


async def _pressed(
    acted: Interaction, press: Press, channels: ChannelsDep, slack: Slack
) -> Response:
    """Approved at once; whoever refuses or answers is asked for the words first."""
    place, user = acted.place, acted.user.id
    if press.action_id in {"refuse", "answer"}:
        private = Private(code=press.value, place=place).model_dump_json()
        view = modal(press.action_id, private)
        return _then(slack.call("views.open", trigger_id=acted.trigger_id, view=view))
    if press.action_id != "approve":
        return Response()
    try:
        await channels.decide(press.value, approved=True, by=f"slack:{user}")
        outcome = f"Approved by <@{user}>"
    except (Conflict, NotFound) as error:  # too late: there is nothing to press any more
        outcome = escaped(str(error))
    except Forbidden as error:
        why = escaped(str(error))
        return _then(slack.whisper(place.channel_id, place.thread_ts, user, why))
    return _closed(slack, place, outcome)


async def _sent(view: View, user: str, channels: ChannelsDep, slack: Slack) -> Response:
    """A reason or an answer; what is wrong with it is shown in the window."""
    if not view.is_ours:
        return Response()
    private = _read(Private, view.private_metadata.encode())
    told, is_answer = view.told, view.callback_id == "answer"
    words = {"answer": told} if is_answer else {"comment": told}
    try:
        await channels.decide(private.code, approved=is_answer, by=f"slack:{user}", **words)
    except AppError as error:
        faults = {INPUT: str(error)[:MOST_SHOWN]}
        return JSONResponse({"response_action": "errors", "errors": faults})
    why = f": {shortened(escaped(told), MOST_SHOWN)}" if told else ""
    outcome = f"{'Answered' if is_answer else 'Refused'} by <@{user}>{why}"
    return _closed(slack, private.place, outcome)


def _closed(slack: Slack, place: Place, outcome: str) -> Response:
    root = place.thread_ts or place.message_ts
    return _then(slack.close_request(place.channel_id, root, place.message_ts, outcome))


def _then(doing: Awaitable[object]) -> Response:
    """Taken; the rest is done when Slack has heard so, and is no matter of its."""

    async def done() -> None:
        try:
            await doing
        except AppError as error:
            log.warning("slack was not told", extra={"error": str(error)})

    return Response(background=BackgroundTask(done))


def _tell(text: str) -> Response:
    return JSONResponse({"response_type": "ephemeral", "text": escaped(text)})


def _read(shape: type[T], body: bytes) -> T:
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise HTTPException(400, f"it is nothing that Slack sends: {why}") from None

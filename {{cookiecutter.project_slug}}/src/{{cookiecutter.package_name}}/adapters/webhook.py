"""Notices to other programs: signed, and by the one client that goes nowhere inside.

The receiver knows a notice by `Webhook-Id`, the same at each try: one that it has seen is done.
"""

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import httpx2

from ..agent.tools import ToolError
from ..channels import Address, Notice, Undeliverable
from ..errors import Unavailable
from ..signatures import sign
from .outbound import Refused, Unresolved

NAMED = re.compile(r"(?:(?P<sender>[a-z0-9-]{1,64})@)?(?P<url>https?://\S+)")
LATER = {408, 409, 425, 429}
SERVER_ERROR = 500
LONGEST_WAIT = 3600.0


class WebhookChannel:
    name = "webhook"

    def __init__(
        self, *, http: httpx2.AsyncClient, secrets_of: Callable[[str], Sequence[str]], sender: str
    ) -> None:
        """The sender is who signs where an address names nobody."""
        self._http = http
        self._secrets_of = secrets_of
        self._sender = sender

    async def deliver(self, notice: Notice) -> Address | None:
        if not (named := NAMED.fullmatch(notice.address.thread)):
            raise Undeliverable(f"{notice.address.thread!r} is no https://… or NAME@https://…")
        sender, url = named["sender"] or self._sender, named["url"]
        if not (secrets := self._secrets_of(sender)):
            raise Undeliverable(f"{sender!r} is not in WEBHOOKS: there is no secret to sign with")
        body = json.dumps(_told(notice), ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json",
            "Webhook-Id": notice.key,
            "Webhook-Signature": sign(body, secrets, at=time.time()),
        }
        try:
            given: dict[str, Any] = {"headers": headers, "follow_redirects": False}
            _judge(await self._http.post(url, content=body, **given))
        except Unresolved as error:
            raise Unavailable(f"{httpx2.URL(url).host} could not be resolved") from error
        except Refused as error:
            raise Undeliverable(str(error)) from error
        except ToolError as error:
            raise Unavailable(str(error)) from error
        return None

    async def close(self) -> None:
        """The client is the process's own."""


def _told(notice: Notice) -> dict[str, Any]:
    return {
        "id": notice.key,
        "kind": notice.kind,
        "session_id": notice.session_id,
        "text": notice.text,
        "request": notice.request and asdict(notice.request),
        "code": notice.code,
        "link": notice.link,
    }


def _judge(answer: httpx2.Response) -> None:
    said = f"{answer.url.host} answers {answer.status_code}"
    if answer.is_success:
        return
    if answer.status_code >= SERVER_ERROR or answer.status_code in LATER:
        wait = answer.headers.get("retry-after", "")
        seconds = min(float(wait), LONGEST_WAIT) if wait.isdecimal() else None
        raise Unavailable(said, retry_after=seconds)
    raise Undeliverable(said)

"""Slack's Web API: what is said there, and how it is found again when nobody knows if it arrived.

A thread is named as in C0123/1718000000.000100. What begins none yet, a channel or a slash command,
is given its first message, and the conversation goes on under that.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from ..agent.events import as_json
from ..channels import Address, Notice, Undeliverable
from ..errors import Unavailable
from ..settings import listed
from .slack_blocks import MOST_TEXT, blocks, escaped, shortened
from .trust import trust

SECONDS, RETRY_SECONDS = 10.0, 30.0
PAGE, PAGES = 200, 10
TIME = re.compile(r"[0-9]{1,16}\.[0-9]{1,9}")
EVENT, MOST_OUTCOME = "agent_notice", 1_500
USER = re.compile(r"(?<=by )slack:([A-Z0-9]+)", re.ASCII)
HOPELESS = frozenset(
    listed(
        "cannot_reply_to_message, cant_update_message, channel_not_found, edit_window_closed,"
        "invalid_arguments, invalid_blocks, invalid_blocks_format, is_archived, message_not_found,"
        "messages_tab_disabled, metadata_too_large, msg_blocks_too_long, msg_too_long, no_text,"
        "not_in_channel, restricted_action, restricted_action_read_only_channel,"
        "restricted_action_thread_locked, thread_not_found, user_not_found"
    )
)
"""Faults of the message or its place. All others, a revoked token too, may be mended meanwhile."""


@dataclass(kw_only=True)
class Slack:
    client: httpx2.AsyncClient
    name: str = "slack"

    async def deliver(self, notice: Notice) -> Address | None:
        """Says it once: what may have arrived is looked for first."""
        channel, root = await self._root(notice)
        if notice.kind == "decided":
            await self._decided(notice, channel, root)
            return None
        if not notice.tried or not await self._find(channel, root, notice.key):
            told = await self.call("chat.postMessage", **_message(notice, channel, root))
            root = root or str(told["ts"])
        elif not root:
            root = await self._find(channel, "", notice.key)
        thread = f"{channel}/{root}"
        return None if thread == notice.address.thread else replace(notice.address, thread=thread)

    async def close_request(self, channel: str, root: str, ts: str, outcome: str) -> None:
        """Puts what came of a request where its buttons are, if they still are."""
        found = await self._message(channel, root, ts)
        shown: list[dict[str, Any]] = found.get("blocks") or []
        kept = [block for block in shown if block.get("type") != "actions"]
        if len(kept) < len(shown):
            told = {"type": "context", "elements": [{"type": "mrkdwn", "text": outcome}]}
            blocks = [*kept, told]
            await self.call("chat.update", channel=channel, ts=ts, text=outcome, blocks=blocks)

    async def _decided(self, notice: Notice, channel: str, root: str) -> None:
        if root and (ts := await self._find(channel, root, _request(notice), name="request")):
            by_name = USER.sub(r"<@\1>", shortened(escaped(notice.text), MOST_OUTCOME), count=1)
            await self.close_request(channel, root, ts, by_name)

    async def whisper(self, channel: str, thread: str, user: str, text: str) -> None:
        """Says something that this user alone sees, and that is gone soon."""
        place = {"thread_ts": thread} if thread else {}
        await self.call("chat.postEphemeral", channel=channel, user=user, text=text, **place)

    async def call(self, method: str, **given: Any) -> dict[str, Any]:
        """What Slack answers. Every method takes a form, and not every one takes JSON."""
        form = {name: as_json(value) for name, value in given.items() if value != ""}
        try:
            response = await self.client.post(method, data=form)
            told = response.json() if response.is_success else {}
        except (httpx2.RequestError, ValueError) as error:
            reason = f"{method}: {error or type(error).__name__}"
            raise Unavailable("Slack does not answer", reason=reason) from error
        if response.status_code == httpx2.codes.TOO_MANY_REQUESTS:
            raise Unavailable(
                "Slack asks to wait", reason=method, retry_after=_wait(response.headers)
            )
        if isinstance(told, dict) and told.get("ok") is True:
            return told
        fault = str(told.get("error") if isinstance(told, dict) else "") or response.status_code
        if fault in HOPELESS:
            raise Undeliverable(f"Slack refuses {method}: {fault}")
        raise Unavailable("Slack refuses what is said", reason=f"{method}: {fault}")

    async def close(self) -> None:
        await self.client.aclose()

    async def _root(self, notice: Notice) -> tuple[str, str]:
        """The channel, and the message under which it is to be said, if there is one."""
        channel, _, root = notice.address.thread.partition("/")
        if not root or TIME.fullmatch(root):
            return channel, root
        if known := await self._find(channel, "", root, since=_since(notice.address.details)):
            return channel, known
        return channel, str((await self.call("chat.postMessage", **_asked(notice, channel)))["ts"])

    async def _message(self, channel: str, root: str, ts: str) -> dict[str, Any]:
        """What was said at this time in the thread; nothing where it is gone."""
        told = await self.call(
            "conversations.replies", channel=channel, ts=root, oldest=ts, latest=ts, inclusive=True
        )
        found = (one for one in told.get("messages") or () if one.get("ts") == ts)
        return next(found, {})

    async def _find(
        self, channel: str, root: str, wanted: str, *, name: str = "key", since: str = ""
    ) -> str:
        """The time of the message that was said with this; nothing where none was."""
        method, cursor = "conversations.replies" if root else "conversations.history", ""
        for _ in range(PAGES):
            told = await self.call(
                method,
                channel=channel,
                ts=root,
                oldest=since,
                cursor=cursor,
                limit=PAGE,
                include_all_metadata=True,
            )
            for message in told.get("messages") or ():
                if _known(message).get(name) == wanted:
                    return str(message["ts"])
            if not (cursor := (told.get("response_metadata") or {}).get("next_cursor") or ""):
                break
        return ""


def make_slack(token: str, url: str) -> Slack:
    client = httpx2.AsyncClient(
        base_url=f"{url.rstrip('/')}/",
        headers={"Authorization": f"Bearer {token}"},
        timeout=SECONDS,
        verify=trust(),
        trust_env=False,
    )
    return Slack(client=client)


def _message(notice: Notice, channel: str, root: str) -> dict[str, Any]:
    text = shortened(escaped(notice.text), MOST_TEXT, notice.link)
    message: dict[str, Any] = {"channel": channel, "text": text}
    message |= _silent(notice.key, request=_request(notice))
    if shown := blocks(notice):
        message["blocks"] = shown
    if root:
        message["thread_ts"] = root
    return message


def _asked(notice: Notice, channel: str) -> dict[str, Any]:
    """What opens the thread of a slash command, which Slack shows to nobody."""
    details = notice.address.details
    asked = shortened(escaped(str(details.get("text", ""))), MOST_TEXT)
    text = f"<@{details.get('user', '')}> asks: {asked}"
    return {
        "channel": channel,
        "text": text,
        **_silent(notice.address.thread.partition("/")[2]),
    }


def _silent(key: str, **also: str) -> dict[str, Any]:
    """Found again by these. Pages that a text names are not fetched: their addresses might
    carry away what the agent knows.
    """
    return {
        "unfurl_links": False,
        "unfurl_media": False,
        "metadata": {"event_type": EVENT, "event_payload": {"key": key, **also}},
    }


def _known(message: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = message.get("metadata") or {}
    return metadata.get("event_payload") or {}


def _request(notice: Notice) -> str:
    return f"{notice.session_id} {notice.request.id}" if notice.request else ""


def _since(details: Mapping[str, Any]) -> str:
    return str(details.get("since", ""))


def _wait(headers: httpx2.Headers) -> float:
    text = headers.get("retry-after", "")
    return float(text) if text.isdecimal() else RETRY_SECONDS

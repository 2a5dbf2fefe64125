"""Slack as this service sees it: what it sends, really signed, and its Web API on the loopback.

`with Workspace() as slack` keeps what is said in it, and can be told to fail.
"""

import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from time import time
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

TOKEN, SIGNING = "xoxb-tests", "the signing secret of the tests"
BOT, ANN, TEAM, CHANNEL = "U0BOT", "U0ANN", "T0TEAM", "C0OPS"
Json = dict[str, Any]
JSON_FIELDS = {"blocks", "metadata", "view"}
MOST_TEXT, MOST_SECTION = 40_000, 3_000
"""Characters that Slack takes in a message, and in each of its sections."""


def signed(body: bytes, *, ago: float = 0, secret: str = SIGNING) -> dict[str, str]:
    """The headers that Slack puts on this body."""
    stamp = str(int(time() - ago))
    made = hmac.digest(secret.encode(), f"v0:{stamp}:".encode() + body, "sha256").hex()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={made}"}


def event(text: str = f"<@{BOT}> hello", **given: Any) -> bytes:
    """A mention in a channel, as the Events API sends it."""
    said = {
        "type": "app_mention",
        "user": ANN,
        "text": text,
        "ts": "1718000000.000100",
        "channel": CHANNEL,
        "team": TEAM,
    }
    told = {
        "token": "old",
        "team_id": TEAM,
        "api_app_id": "A0APP",
        "event": said | given,
        "type": "event_callback",
        "event_id": "Ev0001",
        "authorizations": [{"team_id": TEAM, "user_id": BOT, "is_bot": True}],
    }
    return json.dumps(told).encode()


def command(text: str = "hello", *, trigger: str = "13.37.cafe") -> bytes:
    given = {"token": "old", "team_id": TEAM, "channel_id": CHANNEL, "user_id": ANN}
    return urlencode(given | {"command": "/agent", "text": text, "trigger_id": trigger}).encode()


def pressed(message: Json, action: str, *, user: str = ANN) -> bytes:
    """A button of a message in the workspace."""
    return _payload(
        {
            "type": "block_actions",
            "user": {"id": user, "team_id": TEAM},
            "team": {"id": TEAM},
            "trigger_id": "13.37.beef",
            "container": {
                "type": "message",
                "channel_id": message["channel"],
                "message_ts": message["ts"],
                "thread_ts": message.get("thread_ts"),
            },
            "message": {name: message[name] for name in ("ts", "text", "blocks")},
            "actions": [button(message, action) | {"action_ts": "1"}],
        }
    )


def sent(view: Json, words: str, *, user: str = ANN) -> bytes:
    """A window that was opened, filled in and sent."""
    (block,) = view["blocks"]
    field = {block["element"]["action_id"]: {"type": "plain_text_input", "value": words or None}}
    state = {"values": {block["block_id"]: field}}
    kept = {name: view[name] for name in ("callback_id", "private_metadata")}
    told = {"type": "view_submission", "user": {"id": user}, "view": kept | {"state": state}}
    return _payload(told)


def button(message: Json, action: str) -> Json:
    shown = [e for block in message["blocks"] for e in block.get("elements", ())]
    found: Json = next(e for e in shown if e.get("action_id") == action)
    return found


def buttons(message: Json) -> list[str]:
    shown = [e for block in message.get("blocks", ()) for e in block.get("elements", ())]
    return [e["action_id"] for e in shown if e.get("type") == "button"]


def _payload(told: Json) -> bytes:
    return urlencode({"payload": json.dumps(told)}).encode()


@dataclass
class Workspace:
    says: list[Json] = field(default_factory=list)
    """Messages, in the order in which they came."""
    calls: list[tuple[str, Json]] = field(default_factory=list)
    failures: list[tuple[int, dict[str, str], Json]] = field(default_factory=list)
    """Answered next: status, headers, body. Status 0 does what was asked and then hangs up."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/api"

    def __enter__(self) -> Self:
        self._times = (f"1718000{number:03}.000200" for number in count(1))
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def thread(self, root: str) -> list[Json]:
        return [one for one in self.says if root in {one["ts"], one.get("thread_ts")}]

    def called(self, method: str) -> list[Json]:
        return [given for name, given in list(self.calls) if name == method]

    def answer(self, method: str, token: str, given: Json) -> Iterator[tuple[int, Json, Json]]:
        """What is to be sent back: one answer; or none, where the connection ends."""
        with self._lock:
            self.calls.append((method, given))
            status, headers, body = self.failures.pop(0) if self.failures else (200, {}, {})
            if body or status > 200:
                yield status, headers, body
                return
            known: dict[str, Callable[[Json], Json]] = {
                "chat.postMessage": self._post,
                "chat.update": self._update,
                "chat.postEphemeral": lambda _: {},
                "views.open": lambda _: {},
                "conversations.replies": self._replies,
                "conversations.history": self._history,
            }
            if token != f"Bearer {TOKEN}":
                told: Json = {"ok": False, "error": "invalid_auth"}
            elif method not in known:
                told = {"ok": False, "error": "unknown_method"}
            elif fault := _too_long(given):
                told = {"ok": False, "error": fault}
            else:
                told = {"ok": True} | known[method](given)
            if status:
                yield status, headers, told

    def _post(self, given: Json) -> Json:
        if given["channel"].startswith("C0GONE"):
            return {"ok": False, "error": "channel_not_found"}
        self.says.append(given | {"ts": next(self._times)})
        return {"ts": self.says[-1]["ts"], "channel": given["channel"]}

    def _update(self, given: Json) -> Json:
        place = (given["channel"], given["ts"])
        if found := [one for one in self.says if (one["channel"], one["ts"]) == place]:
            found[0].update(given)
            return {}
        return {"ok": False, "error": "message_not_found"}

    def _replies(self, given: Json) -> Json:
        return self._page(given, self.thread(given["ts"]))

    def _history(self, given: Json) -> Json:
        return self._page(given, [one for one in self.says if not one.get("thread_ts")][::-1])

    def _page(self, given: Json, found: list[Json]) -> Json:
        """Two messages a page, whatever limit is asked for: Slack may give fewer, too."""
        found = [one for one in found if one["channel"] == given["channel"]]
        at = int(given.get("cursor", "0"))
        more = str(at + 2) if found[at + 2 :] else ""
        shown = found[at : at + 2]
        if given.get("include_all_metadata") != "true":
            shown = [{k: v for k, v in one.items() if k != "metadata"} for one in shown]
        return {"messages": shown, "response_metadata": {"next_cursor": more}}


def _too_long(given: Json) -> str:
    """As Slack names it; empty where everything fits."""
    if len(given.get("text", "")) > MOST_TEXT:
        return "msg_too_long"
    shown = [block.get("text", {}) for block in given.get("blocks", ())]
    shown += [e for b in given.get("blocks", ()) if b["type"] == "context" for e in b["elements"]]
    is_over = any(len(text.get("text", "")) > MOST_SECTION for text in shown)
    return "invalid_blocks" if is_over else ""


def _handler(workspace: Workspace) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            form = dict(parse_qsl(body.decode(), keep_blank_values=True))
            given = {k: json.loads(v) if k in JSON_FIELDS else v for k, v in form.items()}
            method = self.path.removeprefix("/api/")
            token = self.headers["authorization"] or ""
            answered = False
            for status, headers, told in workspace.answer(method, token, given):
                answered, text = True, json.dumps(told).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)
            self.close_connection = not answered

        def log_message(self, *_: object) -> None:
            """It has nothing to say of its own."""

    return Handler

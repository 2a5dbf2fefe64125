"""Slack's doors: what Slack signed is heard, once, and answered at once; nothing else is."""

import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from fastapi.testclient import TestClient

from {{ cookiecutter.package_name }}.adapters.slack_blocks import blocks, escaped
from {{ cookiecutter.package_name }}.channels import Address, Asked, Notice, visible
from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.entrypoints.web.slack import check
from {{ cookiecutter.package_name }}.entrypoints.web.slack_payloads import Told, heard, plain
from {{ cookiecutter.package_name }}.errors import Conflict, Forbidden, NotFound, Unavailable
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.signatures import NotSigned

from .. import slack
from ..channels import FakeChannels, NotedParts
from ..conftest import SECRET
from ..fakes import FakeParts
from ..slack import ANN, BOT, CHANNEL, SIGNING, command, event, pressed, sent, signed

MUTATIONS = 100
ASKED = Asked("c1", "deploy", {"version": "1.4.2", "note": "```\n*Approved* <!channel>"})
GONE = 404
PRIVATE = '{"code": "a-code", "place": {}}'


def notice(**given: Any) -> Notice:
    whole: dict[str, Any] = {
        "key": "k-1",
        "address": Address("slack", f"{CHANNEL}/1718000000.000100"),
        "kind": "approval",
        "text": "May I?",
        "session_id": "s",
        "request": ASKED,
        "code": "a-code",
    }
    return Notice(**whole | given)


class FakeSlack:
    """Is told what Slack would be."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, method: str) -> Any:
        async def tell(*given: Any, **named: Any) -> Any:
            self.told.append((method, given, named))
            return {}

        return tell


class Door:
    def __init__(self, http: TestClient, channels: FakeChannels, told: FakeSlack) -> None:
        self.http, self.channels, self.slack = http, channels, told

    def send(
        self, path: str, body: bytes, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        given = signed(body) if headers is None else headers
        return self.http.post(f"/channels/slack/{path}", content=body, headers=given)

    @property
    def told(self) -> list[str]:
        return [method for method, *_ in self.slack.told]


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    environment = {"DATABASE_URL": "postgresql://db/app", "SECRET_KEY": SECRET}
    environment |= {"SLACK_BOT_TOKEN": slack.TOKEN, "SLACK_SIGNING_SECRET": SIGNING}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    parts, told = NotedParts.of(), FakeSlack()
    parts.ways = {"slack": lambda: told}
    with TestClient(create_app(Settings.load(), parts=parts)) as http:
        yield Door(http, parts.noted, told)


def test_without_its_settings_there_is_no_such_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    with TestClient(create_app(Settings.load(), parts=FakeParts.of())) as http:
        for path in ("slack/events", "slack/commands", "slack/actions", "mail"):
            body = event()
            answer = http.post(f"/channels/{path}", content=body, headers=signed(body))
            assert answer.status_code == GONE


def test_slack_is_shown_that_the_door_is_ours(door: Door) -> None:
    body = json.dumps({"type": "url_verification", "token": "old", "challenge": "c-1"}).encode()
    assert door.send("events", body).json() == {"challenge": "c-1"}


def test_a_mention_is_said_in_its_thread_without_our_name(door: Door) -> None:
    assert door.send("events", event(f"<@{BOT}> is 1 &lt; 2?")).status_code == 200
    (said,) = door.channels.received
    assert said["address"] == Address("slack", f"{CHANNEL}/1718000000.000100")
    assert (said["text"], said["by"]) == ("is 1 < 2?", f"slack:{ANN}")
    door.send("events", event("and?", ts="1718000009.000100", thread_ts="1718000000.000100"))
    assert [one["address"] for one in door.channels.received] == [said["address"]] * 2


def test_a_retry_has_the_key_of_the_first(door: Door) -> None:
    """So has the second event that Slack makes of one message, whose event_id is another."""
    body = event()
    other = body.replace(b"Ev0001", b"Ev0002")
    for sent_body in (body, body, other):
        assert door.send("events", sent_body).status_code == 200
    assert len({said["key"] for said in door.channels.received}) == 1
    door.send("events", event(ts="1718000001.000100"))
    assert len({said["key"] for said in door.channels.received}) == 2


def test_a_direct_message_needs_no_mention(door: Door) -> None:
    door.send("events", event("hello", type="message", channel_type="im", channel="D0ANN"))
    assert door.channels.received[0]["address"].thread == "D0ANN/1718000000.000100"


@pytest.mark.parametrize(
    "given",
    [
        {"bot_id": "B0BOT"},
        {"user": BOT},
        {"user": None},
        {"subtype": "message_changed"},
        {"subtype": "bot_message", "bot_id": "B1"},
        {"type": "message", "channel_type": "channel"},
        {"type": "reaction_added"},
        {"type": "channel_created", "channel": {"id": "C1"}, "ts": 12, "text": ["x"]},
        {"text": f"<@{BOT}>  "},
        {"text": ""},
    ],
)
def test_what_is_not_said_to_us_by_a_person_is_for_nobody(
    door: Door, given: dict[str, Any]
) -> None:
    assert door.send("events", event(**given)).status_code == 200
    assert not door.channels.received


def test_people_of_another_company_are_not_heard_in_a_shared_channel() -> None:
    told = json.loads(event())
    told["is_ext_shared_channel"] = True
    assert heard(Told.model_validate(told)) is not None
    told["event"]["team"] = "T0OTHER"
    assert heard(Told.model_validate(told)) is None


def test_text_comes_as_it_was_written() -> None:
    links = "see <https://example.com/a?b=1&amp;c=2|the page> of <#C1|general>, <@U7>"
    assert plain(links) == "see https://example.com/a?b=1&c=2 of #general, @U7"
    assert plain("a\0b") == "a\ufffdb"


@pytest.mark.parametrize("path", ["events", "commands", "actions"])
def test_what_slack_did_not_sign_just_now_is_refused_without_a_reason(
    door: Door, path: str
) -> None:
    body = event()
    good = signed(body)
    forged = [
        {},
        {"X-Slack-Signature": good["X-Slack-Signature"]},
        good | {"X-Slack-Signature": ""},
        good | {"X-Slack-Signature": good["X-Slack-Signature"].replace("v0=", "v1=")},
        good | {"X-Slack-Request-Timestamp": "0"},
        good | {"X-Slack-Request-Timestamp": "-1"},
        good | {"X-Slack-Request-Timestamp": "1718e6"},
        signed(body, ago=301),
        signed(body, ago=-310),
        signed(body, secret="another"),
        signed(body + b" "),
    ]
    for headers in forged:
        answer = door.send(path, body, headers)
        assert (answer.status_code, answer.json()["title"]) == (401, "Not signed"), headers
    assert not door.channels.received


def test_of_two_signatures_neither_counts(door: Door) -> None:
    good = list(signed(event()).items())
    for other in (good[1], ("X-Slack-Signature", "v0=0")):
        answer = door.http.post("/channels/slack/events", content=event(), headers=[*good, other])
        assert answer.status_code == 401


def test_no_mutation_of_what_was_signed_is_taken() -> None:
    given, whole = random.Random(7), event()
    headers = signed(whole)
    stamp, made = headers["X-Slack-Request-Timestamp"], headers["X-Slack-Signature"]
    now = float(stamp)
    check(stamp, made, whole, secret=SIGNING, now=now)
    for _ in range(MUTATIONS):
        parts = [bytearray(stamp.encode()), bytearray(made.encode()), bytearray(whole)]
        before = [bytes(part) for part in parts]
        target = given.choice(parts)
        target[given.randrange(len(target))] = given.randrange(256)
        if [bytes(part) for part in parts] == before:
            continue
        at, signature, body = (bytes(part).decode("latin-1") for part in parts)
        with pytest.raises(NotSigned):
            check(at, signature, body.encode("latin-1"), secret=SIGNING, now=now)


def test_nothing_is_looked_at_before_the_signature_and_what_is_broken_gets_a_line(
    door: Door,
) -> None:
    broken = {"events": b"{", "actions": b"payload=%7B", "commands": b"text=x"}
    for path, body in broken.items():
        assert door.send(path, body, {}).status_code == 401
        told = door.send(path, body)
        assert (told.status_code, told.json()["status"]) == (400, 400), path


@pytest.mark.parametrize(
    "view",
    [
        {"callback_id": "answer", "private_metadata": "{}"},
        {"callback_id": "refuse", "private_metadata": "no JSON"},
        {"callback_id": "answer", "private_metadata": PRIVATE, "state": {"values": None}},
        {"callback_id": "answer", "private_metadata": PRIVATE, "state": {"values": {"told": 7}}},
    ],
)
def test_a_broken_window_gets_a_line(door: Door, view: dict[str, Any]) -> None:
    told = {"type": "view_submission", "user": {"id": ANN}, "view": view}
    answer = door.send("actions", urlencode({"payload": json.dumps(told)}).encode())
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert "nothing that Slack sends" in answer.json()["detail"]
    assert not door.channels.decided


def test_a_slash_command_begins_a_session_and_its_replay_no_second_one(door: Door) -> None:
    for _ in range(2):
        answer = door.send("commands", command("deploy &amp; tell"))
        assert answer.json()["response_type"] == "ephemeral"
    first, again = door.channels.received
    assert (first["address"].thread, first["key"]) == (again["address"].thread, again["key"])
    assert (first["text"], first["by"]) == ("deploy & tell", f"slack:{ANN}")
    door.send("commands", command(trigger="13.37.other"))
    assert len({said["address"].thread for said in door.channels.received}) == 2


def test_an_empty_command_says_how_it_is_used(door: Door) -> None:
    assert "/agent" in door.send("commands", command(" ")).json()["text"]
    assert not door.channels.received


def test_what_a_session_refuses_is_whispered_and_slack_sends_it_no_more(door: Door) -> None:
    door.channels.fault = Conflict("session <s> is paused: resume it first")
    assert door.send("events", event()).status_code == 200
    (method, given, _) = door.slack.told[0]
    assert (method, given[-1]) == ("whisper", "session &lt;s&gt; is paused: resume it first")
    assert "paused" in door.send("commands", command()).json()["text"]


def test_while_the_database_is_away_slack_is_told_to_come_again(door: Door) -> None:
    door.channels.fault = Unavailable("the database does not answer")
    assert door.send("events", event()).status_code == 503


def request_message() -> dict[str, Any]:
    shown = blocks(notice())
    return {"channel": CHANNEL, "ts": "1718000000.000200", "text": "May I?", "blocks": shown}


def test_a_press_approves_and_the_buttons_give_way_to_who_it_was(door: Door) -> None:
    assert door.send("actions", pressed(request_message(), "approve")).status_code == 200
    (decided,) = door.channels.decided
    assert decided == {"code": "a-code", "approved": True, "by": f"slack:{ANN}"}
    place = (CHANNEL, "1718000000.000200", "1718000000.000200")
    assert door.slack.told[0][:2] == ("close_request", (*place, f"Approved by <@{ANN}>"))


@pytest.mark.parametrize(("action", "kind"), [("refuse", "approval"), ("answer", "question")])
def test_whoever_refuses_or_answers_is_asked_for_the_words(
    door: Door, action: str, kind: str
) -> None:
    message = request_message() | {"blocks": blocks(notice(kind=kind))}
    assert door.send("actions", pressed(message, action)).status_code == 200
    assert not door.channels.decided, "the window decides, not the button"
    view = door.slack.told[0][2]["view"]
    assert door.send("actions", sent(view, " because ")).content == b""
    words = {"comment": "because"} if action == "refuse" else {"answer": "because"}
    expected = {"code": "a-code", "approved": action == "answer", "by": f"slack:{ANN}"}
    assert door.channels.decided == [expected | words]
    assert door.told[1:] == ["close_request"]
    assert door.slack.told[-1][1][3].endswith(f"by <@{ANN}>: because")


def test_a_code_that_is_none_decides_nothing_and_takes_the_buttons_away(door: Door) -> None:
    door.channels.fault = NotFound("this code is not good")
    door.send("actions", pressed(request_message(), "approve"))
    assert door.slack.told[0][1][3] == "this code is not good"


def test_who_may_not_approve_is_told_so_alone_and_the_buttons_stay(door: Door) -> None:
    door.channels.fault = Forbidden("another has to approve")
    door.send("actions", pressed(request_message(), "approve"))
    assert door.told == ["whisper"]


def test_what_is_wrong_with_an_answer_is_shown_in_its_window(door: Door) -> None:
    door.send("actions", pressed(request_message(), "refuse"))
    view = door.slack.told[0][2]["view"]
    door.channels.fault = Conflict("request c1 has been decided otherwise")
    told = door.send("actions", sent(view, "no")).json()
    assert told["response_action"] == "errors"
    assert list(told["errors"].values()) == ["request c1 has been decided otherwise"]


def test_presses_and_windows_of_others_do_nothing(door: Door) -> None:
    message = request_message() | {"blocks": blocks(notice(link="https://agent.test/decide/x"))}
    assert door.send("actions", pressed(message, "open")).status_code == 200
    window = [{"block_id": "b", "element": {"action_id": "a"}}]
    other = {"callback_id": "theirs", "private_metadata": "", "blocks": window}
    assert door.send("actions", sent(other, "x")).status_code == 200
    assert not door.channels.decided


def test_a_request_is_shown_with_its_exact_arguments_and_no_fence_to_break_out_of() -> None:
    shown = blocks(notice())
    (code,) = [b for b in shown if b["type"] == "rich_text"]
    text = code["elements"][0]["elements"][0]["text"]
    assert code["elements"][0]["type"] == "rich_text_preformatted"
    assert json.loads(text.removeprefix("deploy ")) == dict(ASKED.arguments)
    assert slack.buttons({"blocks": shown}) == ["approve", "refuse"]


def test_what_does_not_fit_is_not_decided_here() -> None:
    long = Asked("c1", "deploy", {"text": "x" * 10_000})
    shown = blocks(notice(request=long, link="https://agent.test/decide/x"))
    assert slack.buttons({"blocks": shown}) == ["open"]
    assert len(json.dumps(shown)) < 13_000
    edge = Asked("c1", "t" * 100, {"text": "x" * 8_950})
    assert slack.buttons({"blocks": blocks(notice(request=edge))}) == []


def test_who_does_not_decide_gets_no_buttons() -> None:
    assert slack.buttons({"blocks": blocks(notice(code=""))}) == []


def test_nothing_that_a_model_says_pings_hides_or_turns_around() -> None:
    assert escaped("<!channel> & <https://a|b>") == "&lt;!channel&gt; &amp; &lt;https://a|b&gt;"
    turned = Asked("c1", "deploy", {"version": "1\u202e2.4"})
    assert "\\u202e" in json.dumps(blocks(notice(request=turned)))
    assert visible("é\n\u200b") == "é\n\\u200b"

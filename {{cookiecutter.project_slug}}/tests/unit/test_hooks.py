"""Webhooks: what is signed by a sender of ours comes in, once, and nothing else does."""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from typing import Any, cast

import httpx2
import pytest
from fastapi.testclient import TestClient

from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.signatures import secrets_of, sign

from ..conftest import SECRET
from ..fakes import FakeParts, FakeSessions
from .core import make_agent

FORMER = SECRET[::-1].replace(",", "")
MUTATIONS = 100


class Hooks:
    def __init__(self, http: TestClient, settings: Settings, parts: FakeParts) -> None:
        self.http, self.settings, self.channels = http, settings, parts.channels
        self.sessions = cast("FakeSessions", parts.channels.service.sessions)

    def sign(self, body: bytes, *, ago: float = 0, key: int = 0, sender: str = "ops") -> str:
        secret = list(secrets_of(sender, self.settings))[key]
        return sign(body, [secret], at=time.time() - ago)

    def say(self, sender: str = "ops", **given: Any) -> str:
        """The session in which it is said."""
        sent = body(**given)
        told = self.send(sent, self.sign(sent, sender=sender), sender)
        assert told.status_code == 202, told.text
        return str(told.json()["session_id"])

    def guests(self, session: str) -> dict[str, bool]:
        """Whether each who is told of it is one."""
        found = asyncio.run(self.channels.recipients.of(session))
        return {recipient.place: recipient.is_guest for recipient in found}

    def send(self, body: bytes, signature: str | None, sender: str = "ops") -> httpx2.Response:
        headers = {} if signature is None else {"Webhook-Signature": signature}
        return self.http.post(f"/hooks/{sender}", content=body, headers=headers)


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hooks]:
    environment = {"DATABASE_URL": "postgresql://db/app", "SECRET_KEY": SECRET}
    environment |= {"WEBHOOKS": "ops, ci", "SECRET_KEY_FALLBACKS": FORMER}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    parts = FakeParts.of(sessions=FakeSessions(), agents={"a": make_agent()})
    with TestClient(create_app(settings, parts=parts)) as http:
        yield Hooks(http, settings, parts)


def body(**given: Any) -> bytes:
    return json.dumps({"text": "hello"} | given).encode()


def test_a_delivery_starts_a_session_and_its_repeat_does_nothing(hooks: Hooks) -> None:
    signature = hooks.sign(body())
    first, again = (hooks.send(body(), signature) for _ in range(2))
    assert first.status_code == again.status_code == 202, first.text
    assert first.json() == again.json()
    session = first.json()["session_id"]
    assert first.headers["location"] == f"/chat/sessions/{session}"
    assert list(hooks.sessions.stored) == [session]
    said = hooks.sessions.stored[session][-1].event
    assert (said.kind, getattr(said, "by", "")) == ("user_spoke", "webhook:ops")
    more = body(session_id=session)
    assert hooks.send(more, hooks.sign(more)).json() == {"session_id": session}
    assert len(hooks.sessions.stored[session]) == 3


def test_a_delivery_from_which_a_signature_was_taken_is_a_repeat(hooks: Hooks) -> None:
    at, both = time.time(), list(secrets_of("ops", hooks.settings))
    forms = [sign(body(), keys, at=at) for keys in (both, both[1:], both[:1])]
    told = [hooks.send(body(), form).json() for form in forms]
    assert told[0] == told[1] == told[2]
    assert len(hooks.sessions.stored) == 1


@pytest.mark.parametrize(
    ("signature", "sender"),
    [
        (lambda h: None, "ops"),
        (lambda h: "", "ops"),
        (lambda h: h.sign(body(), ago=301), "ops"),
        (lambda h: h.sign(body(), ago=-310), "ops"),
        (lambda h: h.sign(b"{}"), "ops"),
        (lambda h: h.sign(body()), "ci"),
        (lambda h: h.sign(body()), "stranger"),
    ],
)
def test_what_is_not_signed_for_this_door_now_is_refused_without_a_reason(
    hooks: Hooks, signature: Any, sender: str
) -> None:
    refused = hooks.send(body(), signature(hooks), sender)
    assert (refused.status_code, refused.json()["title"]) == (401, "Not signed")
    assert "wrong or too old" in refused.json()["detail"]
    assert not hooks.sessions.stored


def test_of_two_signatures_neither_counts(hooks: Hooks) -> None:
    good = ("Webhook-Signature", hooks.sign(body()))
    for other in (good, ("Webhook-Signature", ""), ("Webhook-Signature", "t=1,v1=0")):
        for pair in ([good, other], [other, good]):
            assert hooks.http.post("/hooks/ops", content=body(), headers=pair).status_code == 401
    assert not hooks.sessions.stored


def test_what_a_former_secret_key_signed_is_still_taken(hooks: Hooks) -> None:
    assert hooks.send(body(), hooks.sign(body(), key=1)).status_code == 202


def test_nothing_of_a_delivery_is_looked_at_before_its_signature(hooks: Hooks) -> None:
    broken = b'{"text": '
    assert hooks.send(broken, None).status_code == 401
    told = hooks.send(broken, hooks.sign(broken))
    assert told.status_code == 422
    blank = body(text=" ", unknown=1)
    faults = hooks.send(blank, hooks.sign(blank)).json()["faults"]
    assert [fault["where"] for fault in faults] == ["body.text", "body.unknown"]


PLACE = "https://a.example/1"
ANOTHER = "https://a.example/2"


def test_who_joins_what_another_began_is_its_guest(hooks: Hooks) -> None:
    session = hooks.say(reply_to=PLACE)
    for sender in ("ops", "ci"):
        hooks.say(sender, session_id=session, reply_to=ANOTHER)
    told = {f"ops@{PLACE}": False, f"ops@{ANOTHER}": False, f"ci@{ANOTHER}": True}
    assert hooks.guests(session) == told


def test_of_a_session_in_which_nobody_spoke_the_first_to_do_so_is_no_guest(hooks: Hooks) -> None:
    session = asyncio.run(hooks.channels.service.start())
    for sender in ("ci", "ops", "ci"):
        hooks.say(sender, session_id=session, reply_to=PLACE)
    assert hooks.guests(session) == {f"ci@{PLACE}": False, f"ops@{PLACE}": True}


@pytest.mark.parametrize("path", ["\0", "\x7f", "\u4e2d", "a b", "a,b", "x" * 2_000])
def test_where_an_answer_is_to_go_is_a_url_that_can_be_kept(hooks: Hooks, path: str) -> None:
    sent = body(reply_to=f"https://a.example/{path}")
    refused = hooks.send(sent, hooks.sign(sent))
    assert refused.status_code == 422, refused.text
    assert [fault["where"] for fault in refused.json()["faults"]] == ["body.reply_to"]
    assert not hooks.sessions.stored


def test_no_mutation_of_a_signed_delivery_is_taken(hooks: Hooks) -> None:
    given = random.Random(7)
    whole = body()
    for _ in range(MUTATIONS):
        sent, text = bytearray(whole), bytearray(hooks.sign(whole).encode())
        original = bytes(sent), bytes(text)
        for target in given.sample([text, sent], given.randint(1, 2)):
            for _ in range(given.randint(1, 3)):
                target[given.randrange(len(target))] = given.randrange(33, 127)
        if (bytes(sent), bytes(text)) != original:
            assert hooks.send(bytes(sent), text.decode()).status_code == 401
    assert not hooks.sessions.stored

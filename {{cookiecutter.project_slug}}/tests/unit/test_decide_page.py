"""The page behind a link: looking decides nothing, and what is decided is what was shown."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.channels import Address, Recipient
from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.ports import Whose
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.signatures import secrets_of, sign

from ..conftest import SECRET
from ..fakes import FakeParts, FakeSessions
from .core import NOW, STARTED, call, make_agent, requested, said

SESSION = "6a5d0a0e-3f0e-4a53-8f9e-3f1c5e1b7a66"
EVIL = "<script>alert(1)</script>\u202e"


class Page:
    def __init__(self, http: TestClient, parts: FakeParts, sessions: FakeSessions) -> None:
        self.http, self.parts, self.sessions = http, parts, sessions

    def asked(self, permission: str = "ask", **arguments: Any) -> str:
        """The path of a page that asks that."""
        request = requested(call(1, "deploy", **arguments), permission)
        events: list[e.AnyEvent] = [STARTED, said("go"), request]
        thread = Thread.of(SESSION, events)
        recipients = self.parts.channels.recipients

        async def stored() -> Recipient:
            await self.sessions.start(thread, events, metadata={}, whose=Whose())
            await recipients.follow(SESSION, Address("mail", "ada@example.com"))
            return (await recipients.of(SESSION))[0]

        return f"/decide/{self.parts.channels.code(asyncio.run(stored()), request)}"

    @property
    def decisions(self) -> list[e.AnyEvent]:
        return [s.event for s in self.sessions.stored[SESSION][3:]]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("WEBHOOKS", "ops")
    sessions = FakeSessions()
    parts = FakeParts.of(sessions=sessions, agents={"a": make_agent()})
    with TestClient(create_app(Settings.load(), parts=parts)) as http:
        yield Page(http, parts, sessions)


def test_to_look_decides_nothing_however_often(page: Page) -> None:
    path = page.asked(version="1.4.2")
    for method in ("GET", "HEAD", "GET"):
        answer = page.http.request(method, path)
        assert answer.status_code == 200
    assert "&quot;version&quot;: &quot;1.4.2&quot;" in answer.text
    assert page.decisions == []
    for method in ("PUT", "DELETE", "PATCH"):
        assert page.http.request(method, path).status_code in {401, 405}
    assert page.decisions == []


def test_a_post_decides_once_and_names_who_was_given_the_code(page: Page) -> None:
    path = page.asked(version="1.4.2")
    for _ in range(2):
        answer = page.http.post(path, data={"decision": "approve", "words": "go"})
        assert (answer.status_code, "Approved" in answer.text) == (200, True)
    (approved,) = page.decisions
    assert isinstance(approved, e.ToolApproved)
    assert (approved.by, approved.comment) == ("mail:ada@example.com", "go")
    late = page.http.post(path, data={"decision": "refuse"})
    assert (late.status_code, "decided otherwise" in late.text) == (409, True)
    assert "This has been decided" in page.http.get(path).text
    assert len(page.decisions) == 1


def test_a_refusal_and_an_answer_carry_their_words(page: Page) -> None:
    path = page.asked("answer", question="Which one?")
    assert "required" in page.http.get(path).text
    assert page.http.post(path, data={"decision": "answer", "words": " "}).status_code == 422
    page.http.post(path, data={"decision": "answer", "words": "the other"})
    (answered,) = page.decisions
    assert isinstance(answered, e.PersonAnswered)
    assert answered.answer == "the other"


def test_an_answer_is_no_approval(page: Page) -> None:
    path = page.asked(version="1.4.2")
    given = {"decision": "answer", "words": "no, never"}
    assert page.http.post(path, data=given).status_code == 409
    assert page.decisions == []


def test_an_answer_of_a_program_is_no_approval_either(page: Page) -> None:
    code = page.asked(version="1.4.2").removeprefix("/decide/")
    (secret, *_) = secrets_of("ops", Settings.load())
    for answer, status in (("no, never", 409), ("", 202)):
        body = json.dumps({"code": code, "approved": True, "answer": answer}).encode()
        signed = {"Webhook-Signature": sign(body, [secret], at=time.time())}
        assert page.http.post("/hooks/ops", content=body, headers=signed).status_code == status
    assert [decision.kind for decision in page.decisions] == ["tool_approved"]


def test_nothing_but_a_choice_decides(page: Page) -> None:
    path = page.asked(version="1.4.2")
    long = "x" * 10_001
    given = ["", "decision=", "decision=yes", "%ff%00=%", "&".join("a=b" for _ in range(99))]
    for body in (*given, f"decision=approve&words={long}"):
        answer = page.http.post(path, content=body.encode())
        assert answer.status_code == 422, body
    assert page.http.post(path, content=b"\xff\xfe=approve").status_code == 422
    assert page.decisions == []


def test_a_code_that_is_none_is_told_nothing(page: Page) -> None:
    path = page.asked(version="1.4.2")
    forged = f"{path[:-1]}{'a' if path[-1] != 'a' else 'b'}"
    for wrong in (forged, "/decide/x", f"{path[:-20]}", "/decide/%00", f"/decide/{'a' * 56}"):
        for answer in (page.http.get(wrong), page.http.post(wrong, data={"decision": "approve"})):
            assert answer.status_code == 404
            assert "1.4.2" not in answer.text
            assert "nothing was decided" in answer.text
    assert page.decisions == []


def test_what_a_model_wrote_is_shown_and_does_nothing(page: Page) -> None:
    answer = page.http.get(page.asked(version=EVIL))
    assert "<script" not in answer.text
    assert "\u202e" not in answer.text
    assert "\\u202e" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_a_code_is_not_logged(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    path = page.asked(version="1.4.2")
    with caplog.at_level(logging.INFO):
        page.http.get(path)
    (logged,) = [vars(r)["path"] for r in caplog.records if r.message == "request answered"]
    assert logged == "/decide/…"


def test_with_four_eyes_no_link_of_the_one_who_asked_approves(page: Page) -> None:
    object.__setattr__(page.parts.channels.service, "four_eyes", True)
    path = page.asked(version="1.4.2")
    refused = page.http.post(path, data={"decision": "approve"})
    assert (refused.status_code, page.decisions) == (403, [])
    assert NOW

"""The door for e-mail: who is on the list is heard, once; a code decides, nothing else does."""

import json
import random
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from {{ cookiecutter.package_name }}.adapters import letters
from {{ cookiecutter.package_name }}.adapters.letters import ID
from {{ cookiecutter.package_name }}.adapters.mail import compose
from {{ cookiecutter.package_name }}.adapters.mime import MOST_HEAD
from {{ cookiecutter.package_name }}.channels import Address, Asked, Kind, Notice
from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.errors import Conflict, Forbidden, NotFound, Unavailable
from {{ cookiecutter.package_name }}.settings import Settings

from ..channels import NotedParts
from ..conftest import SECRET
from ..mailbox import AGENT, ANN, BOB, OPS, reply, signed, written

CODE = "a2" * 28
ASKED = Asked("c1", "deploy", {"version": "1.4.2"})
THREAD = letters.thread_of("<1@example.com>")
ROUNDS = 100


def notice(kind: Kind = "approval", **given: Any) -> Notice:
    details = {"to": ANN, "subject": "Hello", "references": "<1@example.com>"}
    whole: dict[str, Any] = {
        "key": "0-7-k",
        "address": Address("mail", THREAD, details),
        "kind": kind,
        "text": "May I?",
        "session_id": "s",
        "request": None if kind == "answer" else ASKED,
        "code": "" if kind == "answer" else CODE,
    }
    return Notice(**whole | given)


def arrived(sent: Notice) -> EmailMessage:
    """The notice as a mail program has it."""
    message = message_from_bytes(compose(sent, AGENT).as_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


class Outgoing:
    """What is sent, and the fault that it meets."""

    name = "mail"

    def __init__(self) -> None:
        self.told: list[Notice] = []
        self.fault: Exception | None = None

    async def deliver(self, told: Notice) -> Address | None:
        if self.fault:
            raise self.fault
        self.told.append(told)
        return None

    async def close(self) -> None:
        """There is nothing to close."""


class Door:
    def __init__(self, http: TestClient, parts: NotedParts, settings: Settings) -> None:
        self.http, self.channels, self.settings = http, parts.noted, settings
        self.mail = Outgoing()
        parts.ways = {"mail": lambda: self.mail}

    def send(self, body: bytes, headers: dict[str, str] | None = None) -> httpx2.Response:
        given = signed(body, self.settings) if headers is None else headers
        return self.http.post("/channels/mail", content=body, headers=given)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    environment = {"DATABASE_URL": "postgresql://db/app", "SECRET_KEY": SECRET, "WEBHOOKS": "mail"}
    environment |= {"SMTP_URL": "smtp://mail.test", "MAIL_FROM": AGENT}
    environment |= {"MAIL_SENDERS": f"{ANN}, {OPS}, @Example.ORG"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    parts, settings = NotedParts.of(), Settings.load()
    http = TestClient(create_app(settings, parts=parts))
    door = Door(http, parts, settings)
    with http:
        yield door


def test_a_message_is_said_in_the_session_of_its_thread(door: Door) -> None:
    told = door.send(written("Can 1.4.2 go?\n"))
    assert (told.status_code, told.json()["outcome"]) == (202, "said")
    (said,) = door.channels.received
    details = {"to": ANN, "by": ANN, "subject": "Hello", "references": "<1@example.com>"}
    assert said["address"] == Address("mail", THREAD, details)
    assert (said["text"], said["by"]) == ("Can 1.4.2 go?", f"mail:{ANN}")


def test_a_repeat_has_the_key_of_the_first_and_another_message_has_not(door: Door) -> None:
    for body in (written(), written(), written(Message_ID="<9@example.com>")):
        door.send(body)
    first, again, other = (said["key"] for said in door.channels.received)
    assert first == again != other


def test_a_reply_belongs_to_the_thread_however_little_of_it_is_kept(door: Door) -> None:
    sent = arrived(notice("answer"))
    whole = reply(sent, "And 1.4.3?")
    bare = written("And 1.4.3?", Message_ID="<3@x.example>", In_Reply_To=str(sent["Message-ID"]))
    theirs = written("And 1.4.3?", Message_ID="<4@x.example>", References="<1@example.com>")
    for body in (whole, bare, theirs):
        door.send(body)
    assert {said["address"].thread for said in door.channels.received} == {THREAD}
    assert {said["text"] for said in door.channels.received} == {"And 1.4.3?"}
    assert (
        door.channels.received[0]["address"].details["references"].split()[0] == "<1@example.com>"
    )


def test_a_code_decides_and_is_no_message(door: Door) -> None:
    door.channels.holders[CODE] = notice().address
    told = door.send(reply(arrived(notice()), f"Approve {CODE.upper()}\nlooks fine"))
    assert told.json() == {"outcome": "decided", "session_id": "a-session", "why": ""}
    expected = {"approved": True, "by": f"mail:{ANN}", "comment": "looks fine", "answer": None}
    assert door.channels.decided == [{"code": CODE, "to": ANN, **expected}]
    assert not door.channels.received


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"refuse {CODE} not on a Friday", (False, "not on a Friday", None)),
        (f"refuse {CODE}", (False, "", None)),
        (f"answer {CODE}\n\n42, of course", (True, "", "42, of course")),
        (f"answer {CODE}", (True, "", "")),
    ],
)
def test_a_code_refuses_with_a_reason_and_answers(
    door: Door, text: str, expected: tuple[bool, str, str | None]
) -> None:
    door.channels.holders[CODE] = Address("mail", ANN)
    door.send(written(text))
    (told,) = door.channels.decided
    assert (told["approved"], told["comment"], told["answer"]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "approve",
        "Yes, approve it!",
        f"I do not approve {CODE}",
        f"approve{CODE}",
        f"approve {CODE[:10]}",
        f"> approve {CODE}\nno!",
        f"no\n\nOn Fri, Ann wrote:\n> approve {CODE}",
        f"no\n{letters.MARK}\napprove {CODE}",
    ],
)
def test_without_its_code_in_front_a_reply_is_only_a_message(door: Door, text: str) -> None:
    door.channels.holders[CODE] = notice().address
    assert door.send(written(text)).json()["outcome"] == "said"
    assert not door.channels.decided


def test_a_code_of_somebody_else_or_of_nobody_decides_nothing_and_is_not_passed_on(
    door: Door,
) -> None:
    door.channels.holders[CODE] = Address("mail", OPS)
    forged = CODE[:-1] + "b"
    elsewhere = "b3" * 28
    door.channels.holders[elsewhere] = Address("slack", ANN)
    for code in (CODE, forged, elsewhere):
        assert door.send(written(f"approve {code} now", From=BOB)).json()["outcome"] == "said"
    assert not door.channels.decided
    assert {said["text"] for said in door.channels.received} == {"approve (a code) now"}


def test_a_decision_that_comes_too_late_is_no_message_either(door: Door) -> None:
    door.channels.holders[CODE] = notice().address
    door.channels.fault = Conflict("request c1 has been decided otherwise")
    told = door.send(written(f"approve {CODE}")).json()
    assert (told["outcome"], told["why"]) == ("ignored", "request c1 has been decided otherwise")
    assert not door.channels.received


NOT_TAKEN = [
    Conflict("session s is paused: resume it first"),
    Forbidden("another has to approve"),
    NotFound("agent x is not known"),
]


@pytest.mark.parametrize("fault", NOT_TAKEN)
@pytest.mark.parametrize("text", ["hello", f"approve {CODE}"])
def test_whoever_writes_what_is_not_taken_is_told_why(
    door: Door, fault: Exception, text: str
) -> None:
    door.channels.holders[CODE], door.channels.fault = notice().address, fault
    for _ in range(2):
        assert door.send(written(text)).json()["outcome"] == "ignored"
    first, again = door.mail.told
    assert (first.kind, first.code, first.address.details["to"]) == ("trouble", "", ANN)
    assert str(fault) in first.text
    sent, repeat = (arrived(one) for one in (first, again))
    assert sent["In-Reply-To"] == "<1@example.com>"
    assert sent["Message-ID"] == repeat["Message-ID"], "a repeat is no second letter"
    door.mail.fault = Unavailable("the mail server does not take it")
    assert door.send(written(text)).status_code == 202


AUTOMATIC: list[dict[str, str]] = [
    {"Auto_Submitted": "auto-replied"},
    {"Auto_Submitted": "auto-generated; owner-email=x@example.com"},
    {"Precedence": "bulk"},
    {"Precedence": "Auto_Reply"},
    {"List_Id": "<news.example.com>"},
    {"Return_Path": "<>"},
    {"From": "MAILER-DAEMON@example.org"},
    {"X_Autoreply": "yes"},
    {"From": AGENT},
    {"From": "eve@example.net"},
    {"From": f"{BOB}.net"},
    {"From": f"{ANN}, {OPS}"},
    {"From": "ann@example.com.evil.example"},
    {"From": f'"{ANN}" <eve@evil.example>'},
    {"From": "ann at example.com"},
    {"From": f"{ANN} <eve@evil.example>"},
    {"From": f"{ANN})eve@evil.example"},
]


@pytest.mark.parametrize("headers", AUTOMATIC)
def test_machines_strangers_and_ourselves_are_not_heard(
    door: Door, headers: dict[str, str]
) -> None:
    told = door.send(written(f"approve {CODE}", **headers))
    assert (told.status_code, told.json()["outcome"]) == (202, "ignored"), told.text
    assert told.json()["why"]
    assert not door.channels.received


def test_what_we_send_would_not_be_heard_by_another_of_us(door: Door) -> None:
    ours = compose(notice("answer"), BOB).as_bytes()
    assert "Auto-Submitted" in door.send(ours).json()["why"]


def test_a_report_of_a_mail_server_is_not_heard(door: Door) -> None:
    report = b"From: ann@example.com\r\nContent-Type: multipart/report; boundary=x\r\n\r\n--x--\r\n"
    assert "bounce" in door.send(report).json()["why"]


def test_what_says_nothing_is_not_passed_on(door: Door) -> None:
    assert door.send(written("> only\n> a quotation\n")).json()["why"] == "it says nothing"


def test_what_is_not_signed_for_this_door_now_is_refused_without_a_reason(door: Door) -> None:
    body = written()
    at_the_hook = signed(body, door.settings)
    forged = [
        {},
        {"Webhook-Signature": "t=1,v1=0"},
        signed(body, door.settings, ago=301),
        signed(body, door.settings, ago=-310),
        signed(body + b" ", door.settings),
        {"Webhook-Signature": at_the_hook["Webhook-Signature"].replace("v1=", "v2=")},
    ]
    for headers in forged:
        assert door.send(body, headers).status_code == 401
    assert door.http.post("/hooks/mail", content=body, headers=at_the_hook).status_code == 401
    assert not door.channels.received


def test_while_the_database_is_away_the_mail_server_keeps_it(door: Door) -> None:
    door.channels.fault = Unavailable("the database does not answer")
    assert door.send(written()).status_code == 503


def test_what_is_no_message_gets_a_line_and_never_a_fault_of_ours(door: Door) -> None:
    given, whole = random.Random(7), written("hello", From=f"=?utf-8?q?A=6En?= <{ANN}>")
    for _ in range(ROUNDS):
        body = bytearray(whole)
        for _ in range(given.randint(1, 30)):
            body[given.randrange(len(body))] = given.randrange(256)
        assert door.send(bytes(body)).status_code in {202, 422}
    huge = b"Subject: " + b"x" * MOST_HEAD + b"\r\n\r\nhello"
    assert door.send(huge).status_code == 422


@pytest.mark.parametrize("id_", ["<a\0b@example.com>", "<\ud800@example.com>", "<ü@example.com>"])
def test_what_no_database_takes_is_nobodys_name(door: Door, id_: str) -> None:
    named = id_.encode("utf-8", "surrogatepass")
    encoded = b"=?utf-7?q?" + id_.encode("utf-7", "surrogatepass") + b"?="
    for given in (named, encoded):
        for name in (b"References", b"Message-ID"):
            body = name + b": " + given + b"\r\n" + written("hello", Message_ID="")
            assert door.send(body).status_code in {202, 422}
    assert door.channels.received
    for said in door.channels.received:
        assert ID.fullmatch(said["address"].details["references"])


def test_who_has_a_nul_in_the_name_is_not_heard(door: Door) -> None:
    body = written().replace(f"Ann <{ANN}>".encode(), b"a\0b@example.org")
    assert "MAIL_SENDERS" in door.send(body).json()["why"]


OUTLOOK = "Fine.\n\nFrom: Agent <agent@agent.test>\nSent: Friday\nTo: Ann\n\nMay I?"
WRAPPED = "Fine.\n\nOn Fri, 2 Jan 2026 at 03:04,\nAgent <agent@agent.test> wrote:\n\n> May I?"
FRESH = [
    (OUTLOOK, "Fine."),
    (WRAPPED, "Fine."),
    ("On Fri, Ann wrote:\n> May I?\n\nFine.", "Fine."),
    ("> May I?\nYes.\n> And then?\nNo.", "Yes.\nNo."),
    ("Fine.\n-- \nAnn, Example Inc.", "Fine."),
    (f"Fine.\n{letters.MARK}\nMay I?", "Fine."),
    ("Fine.\r\n-----Original Message-----\r\nMay I?", "Fine."),
    ("On call: Bob.\nFrom: here it goes\nfine", "On call: Bob.\nFrom: here it goes\nfine"),
    ("Am Fr., 2. Jan. 2026 schrieb Ann <a@b.c>:\n> Darf ich?\nJa.", "Ja."),
]


@pytest.mark.parametrize(("text", "fresh"), FRESH)
def test_only_what_is_new_is_said(text: str, fresh: str) -> None:
    assert letters.fresh(text) == fresh


def test_a_page_is_read_as_its_text_without_what_it_quotes() -> None:
    page = EmailMessage()
    page["From"] = ANN
    page.set_content(
        "<style>p{}</style><p>Fine &amp; <b>well</b>.</p><blockquote>May I?</blockquote>",
        subtype="html",
    )
    assert letters.read(page.as_bytes()).text == "Fine & well."


def test_a_long_message_is_read_in_no_time() -> None:
    for line in ("On ", ">", "From: a\n", "_" * 30 + " ", "\n"):
        assert isinstance(letters.fresh(line * 200_000), str)


def test_a_notice_is_the_same_message_at_each_try_and_answers_the_one_before() -> None:
    first, again = (compose(notice("answer"), AGENT) for _ in "12")
    assert first["Message-ID"] == again["Message-ID"] == f"<0-7-k.{THREAD}@agent.test>"
    assert (first["In-Reply-To"], first["Subject"]) == ("<1@example.com>", "Re: Hello")
    assert first["Auto-Submitted"] == "auto-generated"


def test_what_a_notice_answers_is_named_whole_however_long_the_names_are() -> None:
    ids = [letters.id_of(f"{'k' * 60}-{n}", THREAD, AGENT) for n in range(11)]
    details = {"to": ANN, "subject": "Hello", "references": " ".join(ids)}
    sent = compose(notice("answer", address=Address("mail", THREAD, details)), AGENT).as_bytes()
    lines = sent.splitlines()
    assert f"In-Reply-To: {ids[-1]}".encode() in lines
    assert lines[lines.index(f"References: {ids[0]}".encode()) + 10] == f" {ids[-1]}".encode()


def test_a_request_shows_its_arguments_and_how_to_decide_below_the_line() -> None:
    above, mark, below = arrived(notice()).get_content().partition(letters.MARK)
    assert mark
    assert json.loads(above.partition("deploy ")[2]) == dict(ASKED.arguments)
    assert CODE not in above
    assert [line.split()[0] for line in below.splitlines() if CODE in line] == ["approve", "refuse"]
    question = arrived(notice("question", link="https://agent.test/decide/x")).get_content()
    assert f"answer {CODE}" in question
    assert "https://agent.test/decide/x" in question


def test_nothing_hides_in_what_is_to_be_decided() -> None:
    hiding = Asked("c1", "pay", {"to": "\u202eevil\u202c \u200bx"})
    for kind in ("approval", "question"):
        shown = arrived(notice(kind, request=hiding, text="May I \u2066pay?")).get_content()
        assert all(line.isprintable() for line in shown.splitlines())
        assert r"\u202eevil\u202c \u200bx" in shown
    answer = "مرحبا می\u200cشود"
    assert answer in arrived(notice("answer", text=answer)).get_content()


def test_a_subject_can_bring_no_header_of_its_own() -> None:
    details = {"to": ANN, "subject": "Hi\r\nBcc: eve@evil.example", "references": "<1@example.com>"}
    message = arrived(notice("answer", address=Address("mail", THREAD, details)))
    assert message["Bcc"] is None
    assert message["Subject"] == "Re: Hi Bcc: eve@evil.example"

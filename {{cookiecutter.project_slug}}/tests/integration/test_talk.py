"""What is said in Slack and by e-mail, to servers that speak as the real ones do."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from {{ cookiecutter.package_name }}.adapters import mail
from {{ cookiecutter.package_name }}.adapters.mail import Mail
from {{ cookiecutter.package_name }}.adapters.slack import make_slack
from {{ cookiecutter.package_name }}.channels import Address, Asked, Notice, Undeliverable
from {{ cookiecutter.package_name }}.errors import Unavailable

from .. import slack as slacks
from ..mailbox import AGENT, ANN, OPS, PASSWORD, USER, Mailbox, certificate, mailbox, only_us
from ..slack import CHANNEL, TOKEN, Workspace, buttons
from tools.stack import free_port

ASKED = Asked("c1", "deploy", {"version": "1.4.2"})


def notice(where: Address, **given: Any) -> Notice:
    whole: dict[str, Any] = {"key": "k-1", "kind": "answer", "text": "hello", "session_id": "s"}
    return Notice(address=where, **whole | given)


def tell(workspace: Workspace, *notices: Notice, token: str = TOKEN) -> list[Address]:
    """Where each conversation goes on."""

    async def told() -> list[Address]:
        slack = make_slack(token, workspace.url)
        try:
            return [await slack.deliver(one) or one.address for one in notices]
        finally:
            await slack.close()

    return asyncio.run(told())


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as workspace:
        yield workspace


THREAD = Address("slack", f"{CHANNEL}/1718000000.000100")


def test_an_answer_is_said_in_its_thread_and_shows_no_page_that_it_names(
    workspace: Workspace,
) -> None:
    assert tell(workspace, notice(THREAD, text="<!channel> see https://x.test")) == [THREAD]
    (said,) = workspace.says
    assert (said["channel"], said["thread_ts"]) == (CHANNEL, "1718000000.000100")
    assert said["text"] == "&lt;!channel&gt; see https://x.test"
    assert said["unfurl_links"] == said["unfurl_media"] == "false"


def test_what_was_said_in_a_channel_goes_on_under_it(workspace: Workspace) -> None:
    ops = Address("slack", CHANNEL)
    asked = notice(ops, kind="approval", request=ASKED, code="a-code")
    (thread,) = tell(workspace, asked)
    assert thread.thread == f"{CHANNEL}/{workspace.says[0]['ts']}"
    assert buttons(workspace.says[0]) == ["approve", "refuse"]
    tell(workspace, notice(thread, key="k-2"))
    assert workspace.says[1]["thread_ts"] == workspace.says[0]["ts"]


@pytest.mark.parametrize("where", [THREAD, Address("slack", CHANNEL)])
def test_what_may_have_arrived_is_looked_for_and_never_said_twice(
    workspace: Workspace, where: Address
) -> None:
    workspace.failures = [(0, {}, {})]  # it arrives, and nobody hears so
    with pytest.raises(Unavailable):
        tell(workspace, notice(where))
    assert len(workspace.says) == 1
    for number in range(5):  # more than one page of others
        tell(workspace, notice(where, key=f"other-{number}"))
    (again,) = tell(workspace, notice(where, tried=True))
    assert len(workspace.says) == 6
    root = where.thread.partition("/")[2] or workspace.says[0]["ts"]
    assert again.thread == f"{CHANNEL}/{root}"


def test_what_did_not_arrive_is_said_at_the_next_try(workspace: Workspace) -> None:
    workspace.failures = [(500, {}, {})]
    with pytest.raises(Unavailable):
        tell(workspace, notice(THREAD))
    tell(workspace, notice(THREAD, tried=True))
    assert [said["text"] for said in workspace.says] == ["hello"]


def test_the_thread_of_a_slash_command_is_opened_once(workspace: Workspace) -> None:
    details = {"user": slacks.ANN, "text": "may <it> go?", "since": "1718000000"}
    command = Address("slack", f"{CHANNEL}/command-0123", details)
    workspace.failures = [(200, {}, {"ok": True, "messages": []}), (0, {}, {})]
    with pytest.raises(Unavailable):
        tell(workspace, notice(command))
    (thread,) = tell(workspace, notice(command, tried=True))
    root, answer = workspace.says
    assert root["text"] == f"<@{slacks.ANN}> asks: may &lt;it&gt; go?"
    assert (answer["text"], answer["thread_ts"]) == ("hello", root["ts"])
    assert thread.thread == f"{CHANNEL}/{root['ts']}"


def test_slack_is_left_alone_for_as_long_as_it_asks(workspace: Workspace) -> None:
    workspace.failures = [(429, {"Retry-After": "17"}, {})]
    with pytest.raises(Unavailable) as caught:
        tell(workspace, notice(THREAD))
    assert caught.value.retry_after == 17
    assert not workspace.says


def test_what_will_never_arrive_is_told_from_what_may(workspace: Workspace) -> None:
    with pytest.raises(Undeliverable, match="channel_not_found"):
        tell(workspace, notice(Address("slack", "C0GONE")))
    with pytest.raises(Unavailable, match="invalid_auth") as caught:
        tell(workspace, notice(THREAD), token="xoxb-revoked")
    assert "xoxb" not in str(caught.value)
    workspace.failures = [(200, {}, ["what?"])]  # type: ignore[list-item]
    with pytest.raises(Unavailable):
        tell(workspace, notice(THREAD))


def test_the_buttons_of_a_decided_request_give_way_to_the_outcome(workspace: Workspace) -> None:
    tell(workspace, notice(THREAD, kind="approval", request=ASKED, code="a-code"))
    (asked,) = workspace.says

    async def closed() -> None:
        slack = make_slack(TOKEN, workspace.url)
        for outcome in ("Approved by <@U0ANN>", "Approved by <@U0BOB>"):
            await slack.close_request(CHANNEL, asked["thread_ts"], asked["ts"], outcome)
        await slack.close()

    asyncio.run(closed())
    assert buttons(asked) == []
    assert asked["blocks"][-1]["elements"][0]["text"] == "Approved by <@U0ANN>", "the first"
    assert "1.4.2" in str(asked["blocks"]), "what was decided on stays"


@pytest.mark.parametrize("said", ["x", "<"])
def test_whatever_is_too_long_for_slack_is_cut_so_that_it_arrives(
    workspace: Workspace, said: str
) -> None:
    long = Asked("c1", "deploy", {"note": said * 8_000})
    link = f"https://agent.example.com/decide/{'a' * 56}"
    asked = notice(THREAD, kind="approval", text=f"May I? {said * 50_000}", request=long, link=link)
    tell(workspace, replace(asked, code="a-code"))
    refused = f"Refused by slack:U0ANN: {said * 9_000}"
    told = Asked("c1", "", {})
    tell(workspace, notice(THREAD, key="k-2", kind="decided", text=refused, request=told))
    (shown,) = workspace.says
    first, *_, last = shown["blocks"]
    section, outcome = first["text"]["text"], last["elements"][0]["text"]
    assert section.endswith(f"… The rest: {link}")
    assert outcome.startswith("Refused by <@U0ANN>: ")
    assert outcome.endswith("… (cut off here)")
    for text in (section, outcome):
        assert said == "x" or "&lt;… " in text, "no half of a character"


def test_what_was_decided_elsewhere_is_shown_where_it_was_asked(workspace: Workspace) -> None:
    ops = Address("slack", CHANNEL)
    (thread,) = tell(workspace, notice(ops, kind="approval", request=ASKED, code="a-code"))
    other = Asked("c2", "deploy", {"version": "1.4.3"})
    tell(workspace, notice(thread, key="k-2", kind="approval", request=other, code="b-code"))
    for _ in range(2):
        text = "Refused by slack:U0ANN: by slack:U0BOB's <order>"
        told = Asked("c2", "", {})
        tell(workspace, notice(thread, key="k-3", kind="decided", text=text, request=told))
    first, second = workspace.says
    assert (buttons(first), buttons(second)) == (["approve", "refuse"], [])
    shown = second["blocks"][-1]["elements"][0]["text"]
    assert shown == "Refused by <@U0ANN>: by slack:U0BOB's &lt;order&gt;"
    assert len(workspace.called("chat.update")) == 1


def send(url: str, one: Notice) -> Address:
    async def sent() -> Address:
        mail = Mail(url=url, author=AGENT)
        return await mail.deliver(one) or one.address

    return asyncio.run(sent())


HELLO = Address("mail", "0" * 32, {"to": ANN, "subject": "Hello", "references": "<1@example.com>"})
PLACE = "127.0.0.1"


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as box:
        yield box


def test_a_second_try_is_the_same_message(box: Mailbox) -> None:
    url = f"smtp://{PLACE}:{box.port}"
    box.answers = {"DONE": ["451 it is taken, or is it?"]}
    with pytest.raises(Unavailable):
        send(url, notice(HELLO, text="héllo\n.\nbye"))
    send(url, notice(HELLO, text="héllo\n.\nbye", tried=True))
    first, again = box.came
    assert first["Message-ID"] == again["Message-ID"]
    assert again.get_content().splitlines()[:3] == ["héllo", ".", "bye"]
    assert again["To"] == ANN


def test_a_recipient_of_the_settings_gets_a_thread_for_each_session(box: Mailbox) -> None:
    url, ops = f"smtp://{PLACE}:{box.port}", Address("mail", OPS)
    asked = {"kind": "approval", "request": ASKED, "code": "a2" * 28}
    thread = send(url, notice(ops, **asked))
    assert send(url, notice(ops, **asked)) == thread
    assert send(url, notice(thread, key="k-2")) == thread
    other = send(url, notice(ops, session_id="t", **asked))
    assert other.thread != thread.thread
    assert len({message["References"] for message in box.to(OPS)}) == 2
    with pytest.raises(Undeliverable):
        send(url, notice(Address("mail", "ops")))


@pytest.mark.parametrize(
    ("command", "answer", "fault"),
    [
        ("RCPT", "550 nobody of that name", Undeliverable),
        ("RCPT", "450 come again", Unavailable),
        ("DATA", "554 that is spam", Undeliverable),
        ("DATA", "452 the disk is full", Unavailable),
    ],
)
def test_what_a_mail_server_refuses_for_good_is_told_from_what_it_puts_off(
    box: Mailbox, command: str, answer: str, fault: type[Exception]
) -> None:
    box.answers = {command: [answer]}
    with pytest.raises(fault, match=answer):
        send(f"smtp://{PLACE}:{box.port}", notice(HELLO))


def test_who_wrote_last_hears_an_answer_too_and_a_code_is_for_one_alone(box: Mailbox) -> None:
    url = f"smtp://{PLACE}:{box.port}"
    joined = replace(HELLO, details={**HELLO.details, "by": OPS})
    send(url, notice(joined))
    send(url, notice(joined, key="k-2", kind="approval", request=ASKED, code="a2" * 28))
    assert box.envelopes == [[ANN, OPS], [ANN]]
    assert [message["Cc"] for message in box.came] == [OPS, None]


def test_a_copy_may_be_refused_and_whom_it_is_for_may_not(box: Mailbox) -> None:
    url = f"smtp://{PLACE}:{box.port}"
    joined = replace(HELLO, details={**HELLO.details, "by": OPS})
    box.answers = {"RCPT": ["550 nobody of that name"]}
    with pytest.raises(Undeliverable, match="nobody of that name"):
        send(url, notice(joined))
    box.answers = {"RCPT": ["", "550 nobody of that name"]}
    send(url, notice(joined, key="k-2"))
    assert box.envelopes == [[OPS], [ANN]]


def test_a_mail_server_that_is_away_may_come_back() -> None:
    with pytest.raises(Unavailable):
        send(f"smtp://{PLACE}:{free_port()}", notice(HELLO))


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_password_is_sent_encrypted_to_who_it_is_for(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, context = certificate(tmp_path)
    own: dict[str, Any] = {"ssl_context": context, "auth_require_tls": False}
    if scheme == "smtp":
        own = {"tls_context": context, "require_starttls": True, "auth_required": True}
    with mailbox(authenticator=only_us, **own) as box:
        url = f"{scheme}://{USER}:{quote(PASSWORD, safe='')}@{PLACE}:{box.port}"
        with pytest.raises(Unavailable, match="certificate"):
            send(url, notice(HELLO))
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        send(url, notice(HELLO))
        with pytest.raises(Unavailable, match="Authentication") as caught:
            send(url.replace(USER, "eve", 1), notice(HELLO))
        assert PASSWORD not in str(caught.value)
        assert [message["To"] for message in box.came] == [ANN]


def test_no_password_is_sent_in_the_open(monkeypatch: pytest.MonkeyPatch, box: Mailbox) -> None:
    monkeypatch.setattr(mail, "HERE", set())
    with pytest.raises(Unavailable, match="STARTTLS"):
        send(f"smtp://{USER}:secret@{PLACE}:{box.port}", notice(HELLO))
    assert not box.came

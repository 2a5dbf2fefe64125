"""Whole conversations in Slack and by e-mail, through real processes of the service."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from email.message import EmailMessage
from pathlib import Path
from textwrap import dedent

import httpx2
import psycopg
import pytest
import yaml
from pydantic import SecretStr

from {{ cookiecutter.package_name }}.adapters.mime import MOST_HEAD
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.signatures import MAIL, keys_for

from .. import mailbox, slack
from ..conftest import SECRET
from ..mailbox import AGENT, ANN, BOB, Mailbox, reply, written
from ..processes import PATIENCE, Process, eventually
from ..slack import CHANNEL, Workspace, buttons, command, event, pressed, sent
from tools.stack import free_port

Reach = Callable[[str], dict[str, str]]
PAGE = Path(__file__).parents[2] / "docs" / "channels.md"
OURS = Settings.model_construct(secret_key=SecretStr(SECRET))


class House:
    """The service, with a Slack workspace and a mail server around it."""

    def __init__(self, url: str, workspace: Workspace, box: Mailbox, ending: ExitStack) -> None:
        self.url, self.slack, self.box, self.ending = url, workspace, box, ending
        self.processes: list[Process] = []

    def begin(self, environment: dict[str, str], folder: Path) -> "House":
        for name in ("serve", "work", "schedule"):
            process = Process(name, environment=environment, directory=folder)
            self.ending.callback(process.end)
            self.processes.append(process)
        for process in self.processes:
            process.healthy()
        return self

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx2.Response:
        url = f"{self.processes[0].url}/channels/{path}"
        return httpx2.post(url, content=body, headers=headers, timeout=PATIENCE, verify=False)

    def from_slack(self, path: str, body: bytes) -> httpx2.Response:
        return self.post(f"slack/{path}", body, slack.signed(body))

    def from_mail(self, body: bytes) -> str:
        told = self.post("mail", body, mailbox.signed(body, OURS))
        assert told.status_code == 202, told.text
        return str(told.json()["outcome"])

    def answers(self, root: str, number: int) -> list[str]:
        """What was said under this message, once there are so many of them."""

        def said() -> list[str]:
            found = [one["text"] for one in self.slack.thread(root) if one["ts"] != root]
            return found if len(found) >= number else []

        return eventually(said, f"{number} answers under {root}: {self.slack.says}")

    def letters(self, to: str, number: int) -> list[EmailMessage]:
        def came() -> list[EmailMessage]:
            return found if len(found := self.box.to(to)) >= number else []

        return eventually(came, f"{number} letters to {to}")

    def sessions(self) -> int:
        return self._count("sessions WHERE true")

    def knows(self, thread: str) -> bool:
        return self._count("recipients WHERE thread = %s", thread) > 0

    def _count(self, rows: str, *values: str) -> int:
        with psycopg.connect(self.url) as connection:
            found = connection.execute(f"SELECT count(*) FROM {rows}".encode(), values).fetchone()
            return int(str(found[0])) if found else 0


@pytest.fixture(scope="module")
def house(
    module_database: str, reach: Reach, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    url = module_database
    with ExitStack() as ending:
        workspace = ending.enter_context(Workspace())
        box = ending.enter_context(mailbox.mailbox())
        environment = {
            "DATABASE_URL": url,
            "SECRET_KEY": SECRET,
            "DEFAULT_AGENT": "echo",
            "MODEL": "scripted:echo",
            "SLACK_BOT_TOKEN": slack.TOKEN,
            "SLACK_SIGNING_SECRET": slack.SIGNING,
            "SLACK_API_URL": workspace.url,
            "SMTP_URL": f"smtp://127.0.0.1:{box.port}",
            "MAIL_FROM": AGENT,
            "MAIL_SENDERS": f"{ANN}, {BOB}",
        }
        house = House(url, workspace, box, ending)
        yield house.begin(environment | reach(url), tmp_path_factory.mktemp("house"))


def shown(language: str) -> str:
    """What the page on channels gives to be copied."""
    block = re.compile(rf"^    ```{language}\n(.*?)^    ```", re.DOTALL | re.MULTILINE)
    (text,) = map(dedent, block.findall(PAGE.read_text()))
    return text


def at(number: int) -> str:
    """When a message was said in Slack, which is its name there."""
    return f"17180{number:05}.000100"


def test_a_mention_is_answered_in_its_thread_however_often_slack_tells_of_it(
    house: House,
) -> None:
    body, before = event("<@U0BOT> hello", ts=at(1)), house.sessions()
    with ThreadPoolExecutor(8) as several:
        told = list(several.map(lambda _: house.from_slack("events", body), range(8)))
    assert {answer.status_code for answer in told} == {200}
    assert house.answers(at(1), 1) == ["I hear: hello"]
    house.from_slack("events", event("<@U0BOT> again", ts=at(2), thread_ts=at(1)))
    assert house.answers(at(1), 2) == ["I hear: hello", "I hear: again"]
    assert house.sessions() == before + 1


def test_a_press_of_the_right_button_decides_and_a_forged_code_does_not(house: House) -> None:
    house.from_slack("events", event("<@U0BOT> risk", ts=at(11)))
    house.answers(at(11), 1)
    (asked,) = house.slack.thread(at(11))
    assert buttons(asked) == ["approve", "refuse"]
    code = slack.button(asked, "approve")["value"]
    forged = pressed(asked | {"ts": at(12)}, "approve").replace(
        code.encode(), (code[:-1] + ("a" if code[-1] != "a" else "b")).encode()
    )
    assert house.from_slack("actions", forged).status_code == 200
    press = pressed(asked, "approve")
    for _ in range(2):  # a replay decides nothing more
        assert house.from_slack("actions", press).status_code == 200
    assert house.answers(at(11), 2)[1] == "so it is: dared 1"
    eventually(lambda: not buttons(asked), "the buttons give way")
    assert "Approved by <@U0ANN>" in str(asked["blocks"])


def test_whoever_refuses_says_why_in_a_window(house: House) -> None:
    house.from_slack("events", event("<@U0BOT> risk", ts=at(21)))
    house.answers(at(21), 1)
    (asked,) = house.slack.thread(at(21))
    before = asked["blocks"]
    house.from_slack("actions", pressed(asked, "refuse"))
    (opened,) = eventually(lambda: house.slack.called("views.open"), "a window is opened")
    assert house.from_slack("actions", sent(opened["view"], "not on a Friday")).content == b""
    assert "not on a Friday" in house.answers(at(21), 2)[1]
    eventually(lambda: "not on a Friday" in str(asked["blocks"]), "all see why")
    house.from_slack("actions", pressed(asked | {"blocks": before}, "approve"))
    eventually(lambda: house.slack.called("conversations.replies"), "it is looked at")
    assert "Approved" not in str(asked["blocks"])


def test_what_the_api_decides_is_shown_in_slack(house: House) -> None:
    house.from_slack("events", event("<@U0BOT> risk", ts=at(25)))
    house.answers(at(25), 1)
    (asked,) = house.slack.thread(at(25))
    web = house.processes[0]
    (waiting,) = web.get("/chat/sessions?status=waiting").json()["sessions"]
    web.post(f"/chat/sessions/{waiting['id']}/approvals/c1", {"approved": True})
    assert house.answers(at(25), 2)[1] == "so it is: dared 1"
    eventually(lambda: not buttons(asked), "the buttons give way")
    assert "Approved by " in str(asked["blocks"])


def test_a_slash_command_opens_a_thread_in_which_its_session_goes_on(house: House) -> None:
    before = house.sessions()
    for _ in range(2):
        assert house.from_slack("commands", command("by command")).status_code == 200

    def opened() -> str:
        found = [one["ts"] for one in house.slack.says if "asks: by command" in one["text"]]
        return found[0] if found else ""

    root = eventually(opened, "the thread is opened")
    assert house.answers(root, 1) == ["I hear: by command"]
    eventually(lambda: house.knows(f"{CHANNEL}/{root}"), "the thread is known")
    house.from_slack("events", event("<@U0BOT> and on", ts=at(31), thread_ts=root))
    assert house.answers(root, 2)[1] == "I hear: and on"
    assert house.sessions() == before + 1


def test_an_answer_of_which_nobody_knows_if_it_arrived_is_seen_once(house: House) -> None:
    house.slack.failures += [(0, {}, {})]
    house.from_slack("events", event("<@U0BOT> perhaps", ts=at(41)))
    eventually(lambda: house.slack.called("conversations.replies"), "it is looked for")
    house.from_slack("events", event("<@U0BOT> surely", ts=at(42), thread_ts=at(41)))
    assert house.answers(at(41), 2) == ["I hear: perhaps", "I hear: surely"]


def test_a_letter_is_answered_and_a_reply_to_that_goes_on(house: House) -> None:
    before = house.sessions()
    for _ in range(2):
        assert house.from_mail(written("by mail")) == "said"
    (first,) = house.letters(ANN, 1)
    assert "I hear: by mail" in first.get_content()
    assert first["In-Reply-To"] == "<1@example.com>"
    assert house.from_mail(reply(first, "and on")) == "said"
    second = house.letters(ANN, 2)[1]
    assert "I hear: and on" in second.get_content()
    assert (second["In-Reply-To"], second["Subject"]) == ("<2@example.com>", "Re: Hello")
    assert house.sessions() == before + 1


def test_a_reply_with_its_code_decides_and_the_same_code_of_another_does_not(house: House) -> None:
    """Bob may write too, and has the code, which was Ann's; all that he sends is a message."""
    house.from_mail(written("risk", From=BOB, Message_ID="<b1@example.org>"))
    (asked,) = house.letters(BOB, 1)
    (line,) = [x for x in asked.get_content().splitlines() if x.strip().startswith("approve ")]
    stolen = reply(asked, line.strip(), by=ANN, named="<a9@example.com>")
    assert house.from_mail(written(line.strip(), Message_ID="<a8@example.com>")) == "said"
    code = line.split()[1]
    forged = line.strip().replace(code, code[:-1] + ("a" if code[-1] != "a" else "b"))
    assert house.from_mail(written(forged, Message_ID="<a7@example.com>")) == "said"
    own = reply(asked, f"{line.strip()} go", by=BOB, named="<b2@example.org>")
    for _ in range(2):
        assert house.from_mail(own) == "decided"
    assert "so it is: dared 1" in house.letters(BOB, 2)[1].get_content()
    assert house.from_mail(stolen) in {"said", "ignored"}
    assert len(house.box.to(BOB)) == 2


def line_of(asked: EmailMessage) -> str:
    (line,) = [x for x in asked.get_content().splitlines() if x.strip().startswith("approve ")]
    return str(line).strip()


def test_an_answer_to_a_request_for_approval_approves_nothing(house: House) -> None:
    before = len(house.box.to(ANN))
    house.from_mail(written("risk", Message_ID="<n1@example.com>"))
    asked = house.letters(ANN, before + 1)[-1]
    no = line_of(asked).replace("approve", "answer") + " no, never do that"
    assert house.from_mail(reply(asked, no, named="<n2@example.com>")) == "ignored"
    told = house.letters(ANN, before + 2)[-1]
    assert "approve or refuse it" in told.get_content()
    assert told["In-Reply-To"] == "<n2@example.com>"
    house.from_mail(reply(asked, line_of(asked), named="<n3@example.com>"))
    assert "so it is: dared 1" in house.letters(ANN, before + 3)[-1].get_content()


def test_who_joins_a_thread_takes_over_neither_its_codes_nor_its_answers(house: House) -> None:
    before = len(house.box.to(ANN))
    house.from_mail(written("risk", Message_ID="<j1@example.com>"))
    asked = house.letters(ANN, before + 1)[-1]
    joins = written(
        "me too", From=BOB, Message_ID="<j2@example.org>", References="<j1@example.com>"
    )
    assert house.from_mail(joins) == "said"
    stolen = reply(asked, line_of(asked), by=BOB, named="<j3@example.org>")
    assert house.from_mail(stolen) == "said"
    assert house.from_mail(reply(asked, line_of(asked), named="<j4@example.com>")) == "decided"
    assert house.letters(ANN, before + 2)[-1]["Cc"] == BOB, "who wrote last hears it too"


def test_a_letter_that_is_not_taken_is_answered(house: House) -> None:
    before, bobs = house.sessions(), len(house.box.to(BOB))
    house.from_mail(written("one", From=BOB, Message_ID="<q1@example.org>"))
    first = house.letters(BOB, bobs + 1)[-1]
    assert house.sessions() == before + 1
    web = house.processes[0]
    session = web.get("/chat/sessions?limit=1").json()["sessions"][0]["id"]
    web.post(f"/chat/sessions/{session}/pause", {})
    eventually(lambda: len(house.box.to(BOB)) > bobs + 1, "it is told that it is paused")
    assert house.from_mail(reply(first, "more", by=BOB, named="<q2@example.org>")) == "ignored"

    def told() -> list[EmailMessage]:
        return [x for x in house.box.to(BOB) if "has changed nothing" in x.get_content()]

    (only,) = eventually(told, "Bob is told that it was not taken")
    assert (only["In-Reply-To"], only["Cc"]) == ("<q2@example.org>", None)
    assert "paused" in only.get_content()


NEEDS = {
    "chat.postMessage": {"chat:write"},
    "chat.postEphemeral": {"chat:write"},
    "chat.update": {"chat:write"},
    "conversations.replies": {"channels:history", "groups:history", "im:history"},
    "conversations.history": {"channels:history", "groups:history", "im:history"},
    "views.open": set[str](),
}


def test_the_page_s_manifest_asks_for_what_is_used_and_names_doors_that_are_there(
    house: House,
) -> None:
    manifest = yaml.safe_load(shown("yaml"))
    asked = set(manifest["oauth_config"]["scopes"]["bot"])
    assert asked == {"app_mentions:read", "commands"}.union(*NEEDS.values())
    assert {method for method, _ in house.slack.calls} <= NEEDS.keys()
    settings = manifest["settings"]
    (slash,) = manifest["features"]["slash_commands"]
    doors = {"commands": slash, "events": settings["event_subscriptions"]}
    doors |= {"actions": settings["interactivity"]}
    for name, door in doors.items():
        url = door.get("url") or door["request_url"]
        path = url.partition("/channels/")[2]
        assert path == f"slack/{name}"
        assert house.post(path, b"", {}).status_code == 401, "it is there, and wants a signature"


def test_a_mail_server_hands_over_a_message_as_the_page_says(house: House, tmp_path: Path) -> None:
    script, secret = tmp_path / "to-agent", tmp_path / "secret"
    script.write_text(shown("python"))
    (key,) = keys_for(MAIL, OURS)
    secret.write_text(f"{key}\n")
    url = house.processes[0].url

    def hand(letter: bytes, *, to: str = url) -> int:
        command = [sys.executable, str(script), to, str(secret)]
        return subprocess.run(command, input=letter, check=False, capture_output=True).returncode

    assert hand(written("by hand", From=BOB, Message_ID="<p1@example.org>")) == 0
    heard = "I hear: by hand"
    eventually(
        lambda: any(heard in one.get_content() for one in house.box.to(BOB)), "it is answered"
    )
    assert hand(b"Subject: " + b"x" * MOST_HEAD) == 1, "it is refused for good"
    assert hand(written(), to=f"http://127.0.0.1:{free_port()}") == 75
    secret.write_text("another")
    assert hand(written()) == 1

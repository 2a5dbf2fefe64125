"""A7 and A11: asked by any door, decided at any other, answered where the question came from."""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx2
import psycopg
import pytest

from {{ cookiecutter.package_name }}.schedules import read_schedules
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.signatures import secrets_of, sign

from ..processes import Process, eventually
from ..receiver import Receiver, listening

Start = Callable[..., Process]
DOORS = ("http", "webhook", "schedule", "cli")
SOLVED = "so it is: dared 1"
CRONS = ("* * * * *", "*/1 * * * *", "0-59 * * * *", "*/1 0-23 * * *")
"""One meaning, four schedules."""
OVERDUE = """INSERT INTO jobs (name, last_run)
    SELECT name, now() - interval '90 s' FROM unnest(%s::text[]) AS name"""


class Service:
    """All processes of it, and another program that it tells what it has to tell."""

    def __init__(self, start: Start, receiver: Receiver, settings: Settings) -> None:
        self.receiver, self.start = receiver, start
        self.serial: defaultdict[str, count[int]] = defaultdict(count)
        self.secret = next(iter(secrets_of("ops", settings.model_copy(update={"webhooks": "ops"}))))
        self.environment = {
            "WEBHOOKS": "ops",
            "OUTBOUND_ALLOW": receiver.place,
            "APPROVALS_TO": f"webhook:{receiver.url('approvals')}",
            "SCHEDULES": ";".join(
                f"{cron}|webhook:{receiver.url(f'schedule{n}')}|risk"
                for n, cron in enumerate(CRONS)
            ),
        }
        self.web = self.run("serve").healthy()
        self.environment |= {"PUBLIC_URL": self.web.url}
        self.run("work").healthy()

    def run(self, *command: str) -> Process:
        return self.start(*command, **self.environment)

    def signed(self, **body: Any) -> dict[str, Any]:
        sent = httpx2.Request("POST", self.web.url, json=body).read()
        mark = {"Webhook-Signature": sign(sent, [self.secret], at=time.time())}
        told = httpx2.post(f"{self.web.url}/hooks/ops", content=sent, headers=mark, verify=False)
        assert told.status_code == 202, told.text
        return dict(told.json())

    def approval(self, session: str) -> dict[str, Any]:
        """What the one who decides was asked."""
        wanted = {"kind": "approval", "session_id": session, "path": "/approvals"}
        return eventually(lambda: self.receiver.seen(**wanted), f"{session} asks for approval")

    def answer(self, path: str) -> dict[str, Any]:
        wanted = {"kind": "answer", "path": path}
        return eventually(lambda: self.receiver.seen(**wanted), f"{path} is answered")


def ask(service: Service, door: str) -> tuple[str, Callable[[], object]]:
    """Asks there; the session, and what gives the answer that comes back there."""
    number = next(service.serial[door])
    if door == "http":
        session = service.web.post("/chat/sessions").json()["session_id"]
        service.web.post(f"/chat/sessions/{session}/messages", {"text": "risk"}, Prefer="wait=0")
        history = f"/chat/sessions/{session}/history"
        last = lambda: service.web.get(history).json()["history"][-1]["response"]  # noqa: E731
        return session, lambda: eventually(last, "the history has it")
    if door == "webhook":
        reply_to = service.receiver.url(f"reply{number}")
        session = service.signed(text="risk", metadata={"n": number}, reply_to=reply_to)[
            "session_id"
        ]
        return session, lambda: service.answer(f"/reply{number}")["text"]
    if door == "schedule":
        seen = lambda: service.receiver.seen(kind="approval", path=f"/schedule{number}")  # noqa: E731
        session = eventually(seen, "the clock begins it")["session_id"]
        return session, lambda: service.answer(f"/schedule{number}")["text"]
    asking = service.run("ask", "risk")
    words = eventually(lambda: re.search(r"approve (\S+) c1", asking.output), "it says who waits")

    def ended() -> str:
        assert asking.ended() == 0, asking.output
        return asking.lines[-1].strip()

    return words[1], ended


def decide(service: Service, door: str, session: str) -> str:
    """Approves there; by whom that is."""
    notice = service.approval(session)
    assert notice["request"]["arguments"] == {"number": 1}
    if door == "http":
        said = service.web.post(f"/chat/sessions/{session}/approvals/c1", {"approved": True})
        assert said.status_code == 200, said.text
        return "all"
    if door == "webhook":
        service.signed(code=notice["code"], approved=True)
        return "webhook:ops"
    if door == "cli":
        assert service.run("approve", session, "c1").ended() == 0
        return "cli"
    with httpx2.Client(verify=False) as person:  # the page behind the link
        assert "Approve" in person.get(notice["link"]).text
        assert person.post(notice["link"], data={"decision": "approve"}).status_code == 200
    return service.environment["APPROVALS_TO"]


@pytest.fixture
def service(start: Start, settings: Settings, database_url: str) -> Iterator[Service]:
    with listening() as receiver:
        service = Service(start, receiver, settings)
        names = [s.name for s in read_schedules(service.environment["SCHEDULES"])]
        with psycopg.connect(database_url, autocommit=True) as database:
            database.execute(OVERDUE, [names])
        service.run("schedule").healthy()
        yield service


@pytest.mark.factor("A7", "A11")
def test_a_question_of_any_door_is_decided_at_any_other_and_answered_where_it_came_from(
    service: Service, database_url: str
) -> None:
    deciders = ("http", "webhook", "page", "cli")
    pairs = [(origin, door) for door in deciders for origin in DOORS if origin != door]
    asked = [(*pair, *ask(service, pair[0])) for pair in sorted(pairs)]
    by = {session: decide(service, door, session) for _, door, session, _ in asked}
    assert {answer() for *_, answer in asked} == {SOLVED}
    sql = "SELECT session_id::text, data->>'by' FROM events WHERE data->>'kind' = 'tool_approved'"
    with psycopg.connect(database_url) as database:
        assert dict(database.execute(sql).fetchall()) == by
    assert len(service.receiver.ids) == len(set(service.receiver.ids)), "nothing was told twice"
    assert len(service.receiver.names(service.secret)) == len(service.receiver.ids)

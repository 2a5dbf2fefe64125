"""The HTTP API of sessions, on a store in memory with a working engine behind it."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import ValidationError

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.limits import Limits
from {{ cookiecutter.package_name }}.agent.ports import Replied, Request, Result, Wanted
from {{ cookiecutter.package_name }}.agent.tools import tool
from {{ cookiecutter.package_name }}.engine import Engine
from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.entrypoints.web.bodies import METADATA_BYTES, Start
from {{ cookiecutter.package_name }}.entrypoints.web.prefer import Preference, parse
from {{ cookiecutter.package_name }}.service import Service
from {{ cookiecutter.package_name }}.settings import Settings

from ..conftest import SECRET
from ..fakes import AUTH, FakeLive, FakeModel, FakeParts, FakeQueue, FakeSessions, upkeep_of

NOBODY = "00000000-0000-0000-0000-000000000000"
BUDGET = 400
TOLD = {"response", "status", "session_id", "usage", "pending"}


@tool(permission="ask")
def deploy(version: str) -> str:
    """Deploys."""
    return f"{version} is out"


def say(request: Request) -> Replied:
    """A model that does what it is told."""
    match request.messages[-1]:
        case Result(text=text):
            return Replied(f"told: {text}")
        case message if message.text == "deploy":
            return Replied("", (Wanted("deploy", {"version": "1.4.2"}),))
        case message if message.text == "ask":
            return Replied("", (Wanted("ask_person", {"question": "When?"}),))
        case message:
            return Replied(f"you said {message.text}")


class Workers(FakeQueue):
    """A queue with a worker at its end."""

    engine: Engine
    are_there = True

    def __init__(self) -> None:
        super().__init__()
        self.tasks: set[asyncio.Task[None]] = set()

    async def send(self, task: str, *, lane: str = "default", **arguments: str) -> None:
        await super().send(task, lane=lane, **arguments)
        if self.are_there:
            self.tasks.add(asyncio.create_task(self.engine.advance(**arguments)))


@dataclass
class Chat:
    http: TestClient
    workers: Workers
    sessions: FakeSessions

    def start(self, **body: Any) -> str:
        return str(self.http.post("/chat/sessions", json=body).headers["location"])

    def say(self, session: str, text: str, **headers: str) -> httpx2.Response:
        return self.http.post(f"{session}/messages", json={"text": text}, headers=headers)

    def kinds(self, session: str) -> list[str]:
        stored = self.sessions.stored[session.rpartition("/")[2]]
        return [event.event.kind for event in stored]

    def waiting(self, text: str) -> tuple[str, dict[str, Any]]:
        """A session in which a person has to decide, and what about."""
        session = self.start()
        (pending,) = self.say(session, text).json()["pending"]
        return session, pending


@pytest.fixture(scope="module")
def served() -> tuple[FastAPI, FakeParts]:
    """Making the application takes longer than most tests."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", "postgresql://db/app")
        environment.setenv("SECRET_KEY", SECRET)
        parts = FakeParts()
        return create_app(Settings.load(), parts=parts), parts


@pytest.fixture
def chat(served: tuple[FastAPI, FakeParts]) -> Iterator[Chat]:
    app, parts = served
    sessions, live, workers = FakeSessions(), FakeLive(), Workers()
    limits = Limits(tokens=BUDGET)
    agents = {
        name: Agent(name=name, description="", prompts={"v1": ""}, tools=(deploy,), limits=limits)
        for name in ("one", "two")
    }
    service = Service(sessions=sessions, queue=workers, live=live, agents=agents, clock=now)
    workers.engine = Engine(
        sessions=sessions,
        queue=workers,
        live=live,
        agents=agents,
        model=FakeModel(script=say),
        clock=now,
        owner=lambda: 1,
        context_tokens=10_000,
        decision_time=timedelta(days=7),
        on_step=lambda *_: None,
        on_interruption=lambda _: None,
    )
    parts.upkeep = upkeep_of(service)
    with TestClient(app, headers=AUTH) as http:
        yield Chat(http, workers, sessions)


def now() -> datetime:
    return datetime.now(UTC)


def test_a_session_is_started_and_its_state_is_where_its_location_says(chat: Chat) -> None:
    started = chat.http.post("/chat/sessions")
    assert started.status_code == 201
    location = started.headers["location"]
    assert location == f"/chat/sessions/{started.json()['session_id']}"
    state = chat.http.get(location).json()
    assert state["id"] == started.json()["session_id"]
    assert (state["agent"], state["status"], state["seq"]) == ("one", "idle", 1)
    assert (state["prompt"], state["plan"], state["facts"], state["pending"]) == ("v1", [], {}, [])


def test_a_session_has_the_agent_and_the_metadata_that_it_was_started_with(chat: Chat) -> None:
    state = chat.http.get(chat.start(agent="two", metadata={"ticket": 7})).json()
    assert (state["agent"], state["metadata"]) == ("two", {"ticket": 7})


def test_a_message_is_answered(chat: Chat) -> None:
    session = chat.start()
    told = chat.say(session, "hello")
    assert told.status_code == 200
    body = told.json()
    assert set(body) == TOLD
    assert (body["response"], body["status"], body["pending"]) == ("you said hello", "idle", [])
    assert body["session_id"] in session
    assert body["usage"]["input_tokens"] == 100
    again = chat.say(session, "again").json()
    assert again["usage"] == body["usage"], "that of this message alone"
    assert chat.http.get(session).json()["usage"]["input_tokens"] == 200


@pytest.mark.factor("A7")
def test_a_pending_decision_is_shown_exactly_and_an_approval_goes_on(chat: Chat) -> None:
    session = chat.start()
    told = chat.say(session, "deploy")
    assert told.status_code == 200
    body = told.json()
    assert (body["response"], body["status"]) == (None, "waiting")
    (pending,) = body["pending"]
    assert (pending["tool"], pending["arguments"]) == ("deploy", {"version": "1.4.2"})
    assert (pending["request_id"], pending["waits_for"]) == ("c1", "approval")
    assert chat.http.get(session).json()["pending"] == [pending]
    approval = f"{session}/approvals/c1"
    decided = chat.http.post(approval, json={"approved": True, "comment": "go"}).json()
    assert (decided["status"], decided["pending"]) == ("ready", [])
    assert chat.say(session, "and?").json()["response"] == "you said and?"
    history = chat.http.get(f"{session}/history").json()["history"]
    assert [(entry["message"], entry["response"]) for entry in history] == [
        ("deploy", "told: 1.4.2 is out"),
        ("and?", "you said and?"),
    ]


def test_the_same_decision_may_come_again_and_another_comes_too_late(chat: Chat) -> None:
    session, pending = chat.waiting("deploy")
    approval = f"{session}/approvals/{pending['request_id']}"
    for _ in range(3):
        assert chat.http.post(approval, json={"approved": False}).status_code == 200
    assert chat.kinds(session).count("tool_denied") == 1
    late = chat.http.post(approval, json={"approved": True})
    assert late.status_code == 409
    assert "c1" in late.json()["detail"]


def test_a_question_is_answered_with_text(chat: Chat) -> None:
    session, pending = chat.waiting("ask")
    assert (pending["waits_for"], pending["arguments"]) == ("answer", {"question": "When?"})
    approval = f"{session}/approvals/{pending['request_id']}"
    mute = chat.http.post(approval, json={"approved": True})
    assert (mute.status_code, "`answer`" in mute.text) == (409, True)
    assert chat.http.post(approval, json={"approved": True, "answer": "now"}).status_code == 200
    assert chat.kinds(session)[4] == "person_answered"


def test_who_wants_no_wait_is_told_so_at_once(chat: Chat) -> None:
    chat.workers.are_there = False
    session = chat.start()
    for prefer in ("respond-async", "wait=0", "x=1, Wait = 0; foo"):
        told = chat.say(session, "hello", Prefer=prefer)
        assert told.status_code == 202
        assert told.headers["preference-applied"] in {"respond-async", "wait=0"}
        assert told.headers["location"] == session
        assert set(told.json()) == TOLD
        assert (told.json()["response"], told.json()["status"]) == (None, "ready")
    chat.workers.are_there = True
    told = chat.say(session, "hello", Prefer="wait=10")
    assert (told.status_code, told.headers["preference-applied"]) == (200, "wait=10")
    assert "preference-applied" not in chat.say(session, "hello").headers


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", Preference()),
        ("wait=5", Preference(5, "wait=5")),
        ("wait=7, wait=8", Preference(7, "wait=7")),
        ('respond-async, WAIT="9"; a=b', Preference(9, "wait=9")),
        ("wait=99999999999999999999", Preference(120, "wait=120")),
        ("Respond-Async", Preference(0, "respond-async", at_once=True)),
        ("wait=-1", Preference()),
        ("wait=soon, handling=lenient", Preference()),
    ],
)
def test_preferences_are_read_as_the_standard_has_them(header: str, wanted: Preference) -> None:
    assert parse(header) == wanted


def test_a_key_says_a_thing_once_and_another_thing_not_at_all(chat: Chat) -> None:
    session = chat.start()
    first, second = (chat.say(session, "hello", **{"Idempotency-Key": "k-1"}) for _ in range(2))
    assert first.json() == second.json()
    assert chat.kinds(session).count("user_spoke") == 1
    other = chat.say(session, "bye", **{"Idempotency-Key": "k-1"})
    assert other.status_code == 409
    assert "'k-1'" in other.json()["detail"]


def test_sessions_are_listed_newest_first_and_page_by_page(chat: Chat) -> None:
    made = [chat.start(agent=name) for name in ("one", "two", "one", "one", "two")]
    chat.http.post(f"{made[0]}/cancel")
    first = chat.http.get("/chat/sessions?limit=3").json()
    rest = chat.http.get("/chat/sessions", params={"limit": 3, "cursor": first["next"]}).json()
    ids = [session["id"] for session in (*first["sessions"], *rest["sessions"])]
    assert [f"/chat/sessions/{id_}" for id_ in ids] == made[::-1]
    assert (len(first["sessions"]), rest["next"]) == (3, None)
    two = chat.http.get("/chat/sessions?agent=two&status=idle").json()["sessions"]
    assert [session["agent"] for session in two] == ["two", "two"]
    assert chat.http.get("/chat/sessions?agent=one&status=cancelled").json()["next"] is None
    assert len(chat.http.get("/chat/sessions?status=cancelled").json()["sessions"]) == 1


def test_events_are_read_page_by_page(chat: Chat) -> None:
    session = chat.start()
    chat.say(session, "hello")
    page = chat.http.get(f"{session}/events?limit=2").json()
    assert [(e["seq"], e["kind"]) for e in page["events"]] == [
        (1, "session_started"),
        (2, "user_spoke"),
    ]
    assert page["events"][1]["text"] == "hello"
    rest = chat.http.get(f"{session}/events?after={page['next']}&limit=2").json()
    assert [e["kind"] for e in rest["events"]] == ["model_answered", "agent_answered"]
    assert rest["next"] is None
    assert chat.http.get(f"{session}/events?after=4").json() == {"events": [], "next": None}


def test_a_deleted_session_is_gone(chat: Chat) -> None:
    session = chat.start()
    assert chat.http.delete(session).status_code == 204
    for answer in (
        chat.http.get(session),
        chat.http.delete(session),
        chat.http.get(f"{session}/events"),
        chat.http.get(f"{session}/events", headers={"Accept": "text/event-stream"}),
        chat.http.get(f"{session}/history"),
        chat.say(session, "hello"),
    ):
        assert answer.status_code == 404
        assert session.rpartition("/")[2] in answer.json()["detail"]


@pytest.mark.factor("A6")
def test_a_paused_session_takes_no_message_until_it_is_resumed(chat: Chat) -> None:
    session = chat.start()
    paused = chat.http.post(f"{session}/pause", json={"reason": "lunch"}).json()
    assert paused["status"] == "paused"
    assert chat.http.get(session).json()["paused"] == "lunch"
    refused = chat.say(session, "hello")
    assert (refused.status_code, "resume it first" in refused.text) == (409, True)
    assert chat.http.post(f"{session}/resume").json()["status"] == "idle"
    assert chat.say(session, "hello").status_code == 200


def test_a_spent_budget_pauses_until_somebody_adds_to_it(chat: Chat) -> None:
    session = chat.start()
    for _ in range(BUDGET // 110 + 1):
        assert chat.say(session, "hello").json()["status"] == "idle"
    spent = chat.say(session, "more")
    assert spent.status_code == 200
    assert (spent.json()["response"], spent.json()["status"]) == (None, "paused")
    refused = chat.http.post(f"{session}/resume")
    assert (refused.status_code, "`more`" in refused.text) == (409, True)
    more = {"more": {"tokens": 1000, "cost": 0.5}}
    assert chat.http.post(f"{session}/resume", json=more).json()["status"] == "ready"
    chat.say(session, "and?")
    history = chat.http.get(f"{session}/history").json()["history"]
    assert [entry["response"] for entry in history[-2:]] == ["you said more", "you said and?"]


@pytest.mark.factor("A6")
def test_a_cancelled_session_has_ended_but_can_be_forked(chat: Chat) -> None:
    session = chat.start(metadata={"ticket": 7})
    chat.say(session, "hello")
    assert chat.http.post(f"{session}/cancel", json={"reason": "no"}).json()["status"] == (
        "cancelled"
    )
    refused = chat.say(session, "hello")
    assert (refused.status_code, "fork it" in refused.text) == (409, True)
    forked = chat.http.post(f"{session}/fork?at=4")
    assert forked.status_code == 201
    assert forked.headers["location"].endswith(forked.json()["session_id"])
    assert chat.http.get(forked.headers["location"]).json()["metadata"] == {"ticket": 7}
    assert chat.say(forked.headers["location"], "and?").json()["response"] == "you said and?"
    assert chat.http.post(f"{session}/fork?at=6").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", f"/{NOBODY}", 404, "POST /chat/sessions makes one"),
        ("GET", "/7", 422, "path.session_id"),
        ("GET", "?limit=0", 422, "query.limit"),
        ("GET", "?limit=101", 422, "query.limit"),
        ("GET", "?cursor=x", 422, "send `next` of the page before"),
        ("GET", "?cursor=eyJhdCI6IjIwMjYtMDEtMDEiLCJpZCI6IngifQ==", 422, "query.cursor"),
        ("GET", "?status=sleepy", 422, "query.status"),
        ("GET", "?agent=%00", 422, "query.agent"),
        ("GET", "/OWN/events?after=-1", 422, "query.after"),
        ("GET", "/OWN/events?after=2147483648", 422, "query.after"),
        ("POST", "/OWN/fork?at=0", 422, "query.at"),
        ("POST", f"/{NOBODY}/cancel", 404, NOBODY),
        ("PUT", f"/{NOBODY}", 405, "Method Not Allowed"),
    ],
)
def test_what_can_not_be_is_a_problem_that_names_it(
    chat: Chat, method: str, path: str, status: int, said: str
) -> None:
    own = chat.start().removeprefix("/chat/sessions/")
    answer = chat.http.request(method, f"/chat/sessions{path.replace('OWN', own)}")
    assert answer.status_code == status == answer.json()["status"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.text


def test_a_body_of_nothing_but_unknown_fields_is_one_fault(chat: Chat) -> None:
    session = chat.start()
    many = {f"x{number}": 0 for number in range(50_000)}
    for path, body in ((f"{session}/messages", many), (f"{session}/resume", {"more": many})):
        refused = chat.http.post(path, json=body)
        assert refused.status_code == 422
        assert len(refused.json()["faults"]) <= 2
        assert "it has 50000 fields, and 20 is the most" in refused.text


def test_metadata_that_is_too_big_is_not_looked_through() -> None:
    class Looked(list[int]):
        times = 0

        def __iter__(self) -> Iterator[int]:
            Looked.times += 1
            return super().__iter__()

    with pytest.raises(ValidationError, match="bytes as JSON, and 10000 is the most"):
        Start(metadata={"many": Looked([0] * 20_000)})
    assert Looked.times == 1, "by what writes it as JSON, and by nothing after that"


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/messages", {}, "body.text"),
        ("/messages", {"text": ""}, "at least 1 character"),
        ("/messages", {"text": " \n\t\u2003"}, "nothing but blanks"),
        ("/messages", {"text": "x" * 100_001}, "at most 100000 characters"),
        ("/messages", {"text": 7}, "valid string"),
        ("/messages", {"text": "x", "to": "you"}, "body.to"),
        ("/messages", {"text": "x", "\ud800": 1}, "unicode"),
        ("/messages", {"text": "x", "x" * 5000: 1}, "body.xxx"),
        ("/messages", [], "body"),
        ("/approvals/c1", {"approved": "no"}, "body.approved"),
        ("/approvals/c1", {"approved": True, "answer": " "}, "body.answer"),
        ("/resume", {"more": {"steps": -1}}, "body.more.steps"),
        ("/resume", {"more": {"cost": 1e300}}, "body.more.cost"),
        ("/resume", {"more": {"seconds": float("inf")}}, "body.more.seconds"),
        ("/pause", {"reason": "x" * 10_001}, "body.reason"),
        ("", {"metadata": []}, "body.metadata"),
        ("", {"metadata": {"a": "ä" * (METADATA_BYTES // 2)}}, "10000 is the most"),
        ("", {"metadata": {"a": json.loads("[" * 900 + "]" * 900)}}, "levels deep"),
        ("", {"agent": "x" * 65}, "body.agent"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_by_name(
    chat: Chat, path: str, body: object, said: str
) -> None:
    answer = chat.http.post(
        f"{chat.start() if path else '/chat/sessions'}{path}",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422
    assert said in answer.text
    assert len(answer.text) < 1000


@pytest.mark.parametrize(
    ("content", "status"),
    [(b'{"text": "\xff"}', 400), (b"[" * 100_000, 400), (b"{", 422), (b" " * 2_000_001, 413)],
)
def test_what_is_no_json_is_refused(chat: Chat, content: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    answer = chat.http.post(f"{chat.start()}/messages", content=content, headers=headers)
    assert answer.status_code == status == answer.json()["status"]


def test_what_no_database_can_store_is_replaced(chat: Chat) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    content = json.dumps({"metadata": {"a\0": ["\ud800", float("nan")]}})
    session = chat.http.post("/chat/sessions", content=content, headers=headers).headers["location"]
    assert chat.http.get(session).json()["metadata"] == {"a\ufffd": ["\ufffd", "nan"]}
    for number in range(2):
        content = json.dumps({"text": "a\0b\ud83d"})
        told = chat.http.post(f"{session}/messages", content=content, headers=headers)
        assert told.json()["response"] == "you said a\ufffdb\ufffd", number


def test_an_agent_that_there_is_not_is_named(chat: Chat) -> None:
    answer = chat.http.post("/chat/sessions", json={"agent": "three"})
    assert (answer.status_code, "'three': only one, two" in answer.text) == (404, True)


def test_a_head_of_a_stream_is_over_at_once(chat: Chat) -> None:
    head = chat.http.head(f"{chat.start()}/events", headers={"Accept": "text/event-stream"})
    assert head.status_code == 200
    assert head.headers["content-type"].startswith("text/event-stream")


def test_the_openapi_document_describes_each_answer_of_each_route(chat: Chat) -> None:
    document = chat.http.get("/openapi.json").json()
    assert document["info"]["title"] == about().name
    routes = {path: item for path, item in document["paths"].items() if path.startswith("/chat")}
    assert len(routes) == 10
    for path, item in routes.items():
        for method, route in item.items():
            assert set(route["responses"]["500"]["content"]) == {"application/problem+json"}
            documented = set(route["responses"])
            assert {"422", "500", "503"} <= documented, (method, path)
            assert ("404" in documented) == ("{session_id}" in path or method == "post")
            assert {"400", "413"} <= documented or "requestBody" not in route
    events = routes["/chat/sessions/{session_id}/events"]["get"]["responses"]["200"]["content"]
    assert set(events) == {"application/json", "text/event-stream"}
    told = routes["/chat/sessions/{session_id}/messages"]["post"]["responses"]
    assert told["200"]["content"] == told["202"]["content"]
    text, schemas = json.dumps(document), document["components"]["schemas"]
    assert "Problem" in schemas
    assert "HTTPValidationError" not in text
    for name in set(text.split('"#/components/schemas/')[1:]):
        assert name.partition('"')[0] in schemas
    kinds = schemas["Events"]["properties"]["events"]["items"]["allOf"][0]["discriminator"]
    assert "agent_answered" in kinds["mapping"]

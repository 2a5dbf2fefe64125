"""The protocol's own rules at the door: what is no message, no version, no method."""

import asyncio
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.entrypoints.web.callers import DECIDE, PAGES, PAGES_UNDER
from {{ cookiecutter.package_name }}.errors import Unavailable
from {{ cookiecutter.package_name }}.settings import Settings

from ..conftest import SECRET
from ..fakes import AUTH, SOMEBODY, FakeParts, FakeSessions
from .core import NOW

META = "io.modelcontextprotocol/"
ALONE = "2026-07-28"
HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x"}},
}
CALL = e.Call(id="c1", tool="ask_person", arguments={"question": "When?"})
QUESTION = e.ToolRequested(at=NOW, call=CALL, permission="answer")


@pytest.fixture
def parts() -> FakeParts:
    return FakeParts.of(agents={"a": Agent(name="a", description="", prompts={"v1": ""})})


@pytest.fixture
def app(parts: FakeParts, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("CORS_ORIGINS", "https://console.example")
    return create_app(Settings.load(), parts=parts)


@pytest.fixture
def http(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, headers=AUTH) as http:
        yield http


def asked(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": "q", "method": method, "params": params}


def alone(method: str, **params: Any) -> dict[str, Any]:
    meta = {f"{META}protocolVersion": ALONE, f"{META}clientCapabilities": {}}
    return asked(method, _meta=meta, **params)


def headers(method: str, name: str = "") -> dict[str, str]:
    return {"MCP-Protocol-Version": ALONE, "Mcp-Method": method} | (
        {"Mcp-Name": name} if name else {}
    )


def call(http: TestClient, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = http.post("/mcp", json=asked("tools/call", name=tool, arguments=arguments))
    assert answer.status_code == 200
    result: dict[str, Any] = answer.json()["result"]
    return result


def code(answer: httpx2.Response) -> tuple[int, int]:
    body = answer.json()
    assert body["jsonrpc"] == "2.0"
    assert body["error"]["message"].isprintable()
    return answer.status_code, body["error"]["code"]


@pytest.mark.parametrize(
    ("wanted", "agreed"),
    [
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2025-11-25"),
        (ALONE, "2025-11-25"),
        (7, "2025"),
    ],
)
def test_the_version_is_the_clients_or_the_newest(
    http: TestClient, wanted: object, agreed: str
) -> None:
    hello = HELLO | {"params": {"protocolVersion": wanted}}
    result = http.post("/mcp", json=hello).json()["result"]
    assert result["protocolVersion"].startswith(agreed)
    assert result["capabilities"] == {"tools": {}}


def test_a_notification_is_taken_and_a_version_that_is_not_spoken_refused(http: TestClient) -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    taken = http.post("/mcp", json=note)
    assert (taken.status_code, taken.content) == (202, b"")
    for message in (note, asked("ping")):
        other = http.post("/mcp", json=message, headers={"MCP-Protocol-Version": "1999-01-01"})
        assert code(other) == (400, -32022)
        assert ALONE in other.json()["error"]["data"]["supported"]
    assert http.post("/mcp", json=asked("ping")).json()["result"] == {}


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"{", 400, -32700),
        (b"[" * 100_000, 400, -32700),
        (b'{"id": %s}' % (b"9" * 5000), 400, -32700),
        (b"[]", 400, -32600),
        (b"[" + json.dumps(asked("ping")).encode() + b"]", 400, -32600),
        (b"7", 400, -32600),
        (b"{}", 400, -32600),
        (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "result": {}}', 400, -32600),
        (json.dumps(asked("fly")).encode(), 200, -32601),
        (json.dumps(asked("server/discover")).encode(), 200, -32601),
        (json.dumps(asked("tools/call")).encode(), 200, -32602),
        (json.dumps(asked("tools/call", name="say", arguments=[])).encode(), 200, -32602),
        (json.dumps(asked("tools/call", name="\ud800")).encode(), 200, -32602),
    ],
)
def test_what_is_no_request_is_an_error_of_the_protocol(
    http: TestClient, body: bytes, status: int, error: int
) -> None:
    answer = http.post("/mcp", content=body)
    assert code(answer) == (status, error)
    assert (answer.json()["id"] is None) == (status == 400)


@pytest.mark.parametrize(
    ("message", "wrong", "error"),
    [
        (asked("tools/list"), {}, -32602),
        (alone("tools/list"), {"Mcp-Method": "tools/call"}, -32020),
        (alone("tools/call", name="say"), {"Mcp-Method": "tools/call", "Mcp-Name": "read"}, -32020),
        (alone("tools/call", name="say"), {"Mcp-Method": "tools/call"}, -32020),
        (alone("tools/call"), {"Mcp-Method": "tools/call", "Mcp-Name": "read"}, -32020),
    ],
)
def test_headers_that_say_other_than_the_body_are_refused(
    http: TestClient, message: dict[str, Any], wrong: dict[str, str], error: int
) -> None:
    answer = http.post("/mcp", json=message, headers=headers("tools/list") | wrong)
    assert code(answer) == (400, error)
    assert answer.json()["id"] == "q"


def test_without_a_handshake_each_answer_says_all_about_itself(http: TestClient) -> None:
    for method in ("server/discover", "tools/list"):
        answer = http.post("/mcp", json=alone(method), headers=headers(method))
        result = answer.json()["result"]
        assert (result["resultType"], result["cacheScope"]) == ("complete", "private")
        assert result["_meta"][f"{META}serverInfo"]["version"]
    gone = http.post("/mcp", json=alone("fly"), headers=headers("fly"))
    assert code(gone) == (404, -32601)


def test_nothing_is_sent_unasked_so_there_is_nothing_to_get_or_end(http: TestClient) -> None:
    for method in ("GET", "DELETE", "PUT"):
        answer = http.request(method, "/mcp")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_page_of_another_origin_is_refused(http: TestClient) -> None:
    for origin, status in {"https://console.example": 200, "http://evil.example": 403}.items():
        assert http.post("/mcp", json=HELLO, headers={"Origin": origin}).status_code == status


def test_every_tool_has_a_typed_schema_and_says_what_it_may_harm(http: TestClient) -> None:
    tools = http.post("/mcp", json=asked("tools/list")).json()["result"]["tools"]
    for tool in tools:
        assert len(tool["description"]) > 20
        takes, gives = tool["inputSchema"], tool["outputSchema"]
        assert (takes["type"], takes["additionalProperties"]) == ("object", False)
        assert all("description" in field for field in takes["properties"].values()), tool["name"]
        assert gives["properties"]["session_id"]["type"] == "string"
    harmful = [tool["name"] for tool in tools if tool["annotations"].get("destructiveHint")]
    assert harmful == ["approve"]
    assert len(json.dumps(tools)) < 20_000, "a model has to read it"


def test_a_message_that_takes_longer_is_read_later(http: TestClient) -> None:
    session = call(http, "start")["structuredContent"]["session_id"]
    said = call(http, "say", session_id=session, text="hi", wait_seconds=0)["structuredContent"]
    assert (said["response"], said["seq"]) == (None, 2)
    assert said["hint"] == "It is still at work: `read` the session after 2 and wait."
    read = call(http, "read", session_id=session, after=2)["structuredContent"]
    assert (read["status"], read["events"]) == ("ready", [])


def test_a_question_is_answered(http: TestClient, parts: FakeParts) -> None:
    session = call(http, "start")["structuredContent"]["session_id"]
    sessions: Any = parts.upkeep.service.sessions
    asyncio.run(sessions.append(sessions.threads[session], QUESTION))
    given = {"session_id": session, "request_id": "c1"}
    mute = call(http, "approve", **given)
    assert (mute["isError"], "is a question" in mute["content"][0]["text"]) == (True, True)
    assert call(http, "answer", **given, text="now")["structuredContent"]["pending"] == []
    (answered,) = [s.event for s in sessions.stored[session] if s.event.kind == "person_answered"]
    assert (answered.answer, answered.by) == ("now", SOMEBODY.name)


def test_a_limit_that_is_reached_is_told_as_elsewhere(http: TestClient, parts: FakeParts) -> None:
    session = call(http, "start")["structuredContent"]["session_id"]
    parts.allowances.messages = 0
    for tool, given in {"start": {}, "say": {"session_id": session, "text": "x"}}.items():
        told = call(http, tool, **given)
        assert (told["isError"], told["content"][0]["text"]) == (True, "no messages left")
    parts.allowances.requests = 0
    assert http.post("/mcp", json=HELLO).status_code == 429


def test_why_a_database_is_away_is_for_the_log_and_for_no_model(
    http: TestClient, parts: FakeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> bool:
        raise Unavailable("the database is away", reason="no route to 10.0.0.5")

    monkeypatch.setattr(FakeSessions, "start", away)
    assert call(http, "start")["content"][0]["text"] == "the database is away"


def test_the_openapi_document_leaves_out_this_door_and_pages_and_no_other(app: FastAPI) -> None:
    described = set(app.openapi()["paths"])
    routes = {getattr(route, "path", "") for route in app.router.routes}
    pages = {path for path in routes if path in PAGES or path.startswith((*PAGES_UNDER, DECIDE))}
    assert routes - described - pages == {"/mcp", "/openapi.json"}


def test_whatever_comes_the_answer_is_one_of_the_protocol(http: TestClient) -> None:
    """Requests that nobody means, made of good ones by changing bytes."""
    random, seen = Random(1), set()
    good = [HELLO, asked("tools/list"), asked("tools/call", name="start", arguments={})]
    good += [asked("tools/call", name="say", arguments={"session_id": "x", "text": "y"})]
    for _ in range(200):
        body = bytearray(json.dumps(random.choice(good)).encode())
        for _ in range(random.randint(0, 3)):
            at = random.randrange(len(body))
            body[at : at + random.randint(0, 4)] = random.choice(
                [b"", b"\xff", b"null", b"[]", b"{}", b'"', b"1e999", b"\\ud800", b"-0"]
            )
        answer = http.post("/mcp", content=bytes(body))
        assert answer.status_code in {200, 202, 400}, bytes(body)
        if answer.content:
            assert {"result", "error"} & answer.json().keys(), bytes(body)
        seen.add(answer.status_code)
    assert {200, 400} <= seen

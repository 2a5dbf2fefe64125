"""What holds for every answer and every request, over the whole application."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from {{ cookiecutter.package_name }}.entrypoints.web import guard
from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.settings import Settings

from ..conftest import SECRET
from ..fakes import AUTH, FakeParts
from .core import make_agent

HOST = "api.example.org"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("ALLOWED_HOSTS", f"{HOST}, *.example.net")
    monkeypatch.setenv("CORS_ORIGINS", "https://app.example.org")
    parts = FakeParts.of(agents={"a": make_agent()})
    app = create_app(Settings.load(), parts=parts)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    with TestClient(
        app, headers=AUTH, base_url=f"https://{HOST}", raise_server_exceptions=False
    ) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 200),
        ("/chat/sessions", 200),
        ("/nowhere", 404),
        ("/chat/sessions/x", 422),
        ("/broken", 500),
    ],
)
def test_every_answer_has_the_headers_that_protect_a_browser(
    client: TestClient, path: str, status: int
) -> None:
    for headers in (AUTH, {"Authorization": ""}, AUTH | {"Host": "evil.example"}):
        answer = client.get(path, headers=headers)
        if headers is AUTH:
            assert answer.status_code == status
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "max-age" in answer.headers["strict-transport-security"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (HOST, 200),
        (f"{HOST}:8443", 200),
        (HOST.upper(), 200),
        ("a.example.net", 200),
        ("example.net", 400),
        ("evil.example", 400),
        (f"{HOST}.evil.example", 400),
        (f"evil{HOST}", 400),
        ("[::1]:8000", 400),
        ("", 400),
    ],
)
def test_only_known_hosts_are_served_and_probes_by_any_address(
    client: TestClient, host: str, status: int
) -> None:
    answer = client.get("/chat/sessions", headers={"Host": host})
    assert answer.status_code == status
    assert client.get("/health", headers={"Host": host}).status_code == 200


def test_a_page_of_a_known_origin_may_call_and_no_other(client: TestClient) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Authorization": ""}
    for origin, known in (("https://app.example.org", True), ("https://evil.example", False)):
        told = client.options("/chat/sessions", headers=asked | {"Origin": origin})
        assert (told.headers.get("access-control-allow-origin") == origin) is known
        assert (told.status_code == 200) is known


def test_a_key_without_an_allowance_is_told_when_to_come_again(client: TestClient) -> None:
    parts = client.app_state["allowances"]
    session = client.post("/chat/sessions").headers["location"]
    said: dict[str, Any] = {"json": {"text": "hello"}, "headers": {"Prefer": "respond-async"}}
    assert client.post(f"{session}/messages", **said).status_code == 202
    assert client.post(f"{session}/pause").json()["status"] == "paused"
    parts.messages = 0
    tries: list[tuple[str, dict[str, Any]]] = [
        ("/chat/sessions", {}),
        (f"{session}/messages", said),
        (f"{session}/resume", {"json": {"more": {"cost": 1000}}}),
        (f"{session}/fork", {}),
    ]
    for path, body in tries:
        refused = client.post(path, **body)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "2"), path
    assert refused.json()["title"] == "Too many"
    assert client.get("/chat/sessions").status_code == 200
    parts.requests = 0
    refused = client.get("/chat/sessions")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2"), "rounded up"
    assert client.get("/health").status_code == 200


def test_a_head_has_to_be_in_bounds(client: TestClient) -> None:
    big = "x" * guard.HEAD_BYTES
    for answer in (
        client.get("/health", headers={"Cookie": big}),
        client.get("/health", headers={f"X-{number}": big[:500] for number in range(40)}),
        client.get(f"/health?{big}"),
    ):
        assert (answer.status_code, answer.json()["status"]) == (431, 431)
    assert client.get("/health", headers={"Cookie": big[:8_000]}).status_code == 200


def test_a_body_has_to_come_in_time_and_in_bounds(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "BODY_BYTES", 10)
    too_big = client.post("/chat/sessions", content=b"x" * 11)
    assert (too_big.status_code, too_big.json()["detail"][:30]) == (
        413,
        "POST /chat/sessions: a body ha",
    )
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.01)

    async def never() -> AsyncIterator[Message]:
        yield {"type": "http.request", "body": b"", "more_body": True}
        await asyncio.Event().wait()

    async def slow() -> None:
        messages = never()

        async def receive() -> Message:
            return await anext(messages)

        body = guard.Body(receive)
        assert (await body())["more_body"]
        await body()

    with pytest.raises(Exception, match="a body has to come within") as raised:
        asyncio.run(slow())
    status: Any = raised.value
    assert status.status_code == 408

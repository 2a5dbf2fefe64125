"""A request is a span by its route; what comes of it is part of the caller's trace."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from {{ cookiecutter.package_name }}.entrypoints.web.trace import Traced
from {{ cookiecutter.package_name }}.telemetry.spans import traceparent

from .test_spans import CALLER, Recorded


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def client(recorded: Recorded) -> Iterator[TestClient]:
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    @app.get("/things/{name}")
    async def thing(name: str) -> str:
        if name == "broken":
            raise RuntimeError("CANARY")
        if name == "away":
            raise HTTPException(503)
        return traceparent()

    @app.get("/health")
    async def health() -> str:
        return traceparent()

    with TestClient(Traced(app, recorded.tracer), raise_server_exceptions=False) as client:
        yield client


def test_a_request_is_part_of_its_callers_trace_and_named_by_its_route(
    client: TestClient, recorded: Recorded
) -> None:
    inside = client.get("/things/one?token=CANARY", headers={"traceparent": CALLER}).json()
    (span,) = recorded.seen
    assert span.name == "GET /things/{name}"
    assert CALLER.startswith(f"00-{span.trace_id}-{span.parent}-")
    assert inside == f"00-{span.trace_id}-{span.id}-01"
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/things/{name}",
        "url.path": "/things/one",
        "url.scheme": "http",
    }
    assert b"CANARY" not in recorded.sent


@pytest.mark.parametrize(
    ("asked", "name", "told"),
    [
        ("GET /things/broken", "GET /things/{name}", (500, "RuntimeError")),
        ("GET /things/away", "GET /things/{name}", (503, "503")),
        ("GET /nowhere", "GET", (404, None)),
        ("BREW /things/one", "HTTP /things/{name}", (405, None)),
    ],
)
def test_how_a_request_ended_is_told(
    recorded: Recorded, client: TestClient, asked: str, name: str, told: tuple[int, str | None]
) -> None:
    status, error = told
    client.request(*asked.split())
    (span,) = recorded.seen
    assert span.name == name
    assert span.attributes["http.response.status_code"] == status
    assert span.attributes.get("error.type") == error
    assert span.failed is bool(error)
    assert b"CANARY" not in recorded.sent


def test_probes_are_not_traced(client: TestClient, recorded: Recorded) -> None:
    assert client.get("/health", headers={"traceparent": CALLER}).json() == ""
    assert not recorded.ended


def test_a_path_without_end_is_not_told_whole(client: TestClient, recorded: Recorded) -> None:
    client.get("/" + "x" * 5000)
    assert len(recorded.sent) < 1000

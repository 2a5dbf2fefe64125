"""The HTTP door, on a service in memory."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.errors import Unavailable
from {{ cookiecutter.package_name }}.settings import Settings

from ..conftest import SECRET
from ..fakes import AUTH, FakeBacking, FakeParts

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def backing() -> FakeBacking:
    return FakeBacking("database")


@pytest.fixture
def client(backing: FakeBacking, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    parts = FakeParts.of(backing)
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    app = create_app(Settings.load(), parts=parts)

    @app.get("/broken")
    async def broken() -> None:
        msg = "a secret detail"
        raise RuntimeError(msg)

    @app.get("/away")
    async def away() -> None:
        raise Unavailable("the database is away", reason="no route to 10.0.0.5 for user app")

    with TestClient(app, headers=AUTH, raise_server_exceptions=False) as client:
        yield client


def test_health_says_status_version_and_time(client: TestClient) -> None:
    body = client.get("/health").json()
    assert body["status"] == "healthy"
    assert body["version"] == about().version
    assert body["timestamp"].startswith("20")


def test_ready_names_the_service_that_fails(client: TestClient, backing: FakeBacking) -> None:
    assert client.get("/ready").json() == {"status": "ready", "services": {"database": "ok"}}
    backing.fault = Unavailable("the database is away", reason="no route to 10.0.0.5 for user app")
    answer = client.get("/ready?full=true")
    assert answer.status_code == 503
    why = "the database is away: no route to 10.0.0.5 for user app"
    assert answer.json() == {"status": "not ready", "services": {"database": why}}
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert answer.json()["services"]["database"].startswith("away")
    assert "10.0.0.5" not in answer.text


def test_why_a_backing_service_is_away_is_for_the_log_and_for_no_caller(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/away")
    assert (answer.status_code, answer.json()["detail"]) == (503, "the database is away")
    (said,) = [vars(line) for line in caplog.records if line.message == "backing service away"]
    assert said["error"] == "the database is away: no route to 10.0.0.5 for user app"


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/nowhere", 404, "/openapi.json"),
        ("DELETE", "/health", 405, "Method Not Allowed"),
        ("GET", "/broken", 500, "the fault is ours"),
    ],
)
def test_every_error_is_a_problem_document(
    client: TestClient, method: str, path: str, status: int, said: str
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status == answer.json()["status"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.text
    assert "secret detail" not in answer.text


def test_head_is_get_without_a_body(client: TestClient) -> None:
    for path, status in {"/health": 200, "/ready": 200, "/metrics": 200, "/nowhere": 404}.items():
        assert client.head(path).status_code == status


def test_a_path_without_end_is_not_echoed_whole(client: TestClient) -> None:
    assert len(client.get("/" + "x" * 5000).text) < 500


def test_every_answer_carries_a_request_id_and_a_given_one_is_kept(client: TestClient) -> None:
    assert len(client.get("/health").headers["x-request-id"]) == 32
    assert (
        client.get("/nowhere", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    )
    hostile = client.get("/health", headers={"X-Request-Id": 'a" level="error'})
    assert hostile.headers["x-request-id"] != 'a" level="error'


def test_requests_are_counted_by_route_not_by_path(client: TestClient) -> None:
    client.get(f"/chat/sessions/{NOBODY}")
    client.get("/nowhere")
    text = client.get("/metrics").text
    labels = 'method="GET",route="/chat/sessions/{session_id}",status="404"'
    assert "http_requests_total{" + labels + "} 1.0" in text
    assert 'http_requests_total{method="GET",route="(none)",status="404"} 1.0' in text

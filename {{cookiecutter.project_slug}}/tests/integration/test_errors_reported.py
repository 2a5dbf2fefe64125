"""What nobody expected: one line in the log, and a report where SENTRY_DSN asks for one."""

import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..collector import Collector
from ..conftest import SECRET
from ..processes import Process, eventually
from .conftest import Database

Start = Callable[..., Process]
REQUEST = {"X-Request-Id": "abc-1", "X-Other": "CANARY-of-a-header"}


@pytest.fixture
def _broken(database: Database) -> None:
    database.execute("ALTER TABLE sessions RENAME owner TO away")


@pytest.fixture
def _mended(database: Database) -> Iterator[None]:
    yield
    database.execute("ALTER TABLE sessions RENAME away TO owner")


def reports(collector: Collector) -> list[dict[str, Any]]:
    """The events of all envelopes: in each a header, then an item's header and the item."""
    lines = [body.splitlines() for body in list(collector.bodies) if body.startswith(b"{")]
    return [json.loads(one[2]) for one in lines if json.loads(one[1])["type"] == "event"]


@pytest.mark.factor("XI")
@pytest.mark.usefixtures("_mended", "_broken")
def test_an_error_is_one_event_of_its_request_and_one_report(start: Start) -> None:
    with Collector() as collector:
        dsn = collector.url.replace("//", "//CANARY@") + "/7"
        own = {"SENTRY_DSN": dsn, "RELEASE": "v7", "ENVIRONMENT": "staging"}
        traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        web = start("serve", **own, **traces).healthy()
        path = "/chat/sessions/00000000-0000-4000-8000-000000000001"
        assert web.post(f"{path}/messages", {"text": "CANARY"}, **REQUEST).status_code == 500
        eventually(lambda: reports(collector), "it is reported")
        web.signal(signal.SIGTERM)
        assert web.ended() == 0
    (error,) = [event for event in web.events if event["level"] == "ERROR"]
    assert (error["event"], error["request_id"]) == ("request failed", "abc-1")
    assert error["session"] == path.rpartition("/")[2]
    assert "UndefinedColumn" in error["exc_info"]
    (report,) = reports(collector)
    assert (report["release"], report["environment"]) == ("v7", "staging")
    assert report["tags"] == {
        "process": "web",
        "session": error["session"],
        "request_id": "abc-1",
        "trace_id": error["trace_id"],
    }
    assert report["exception"]["values"][-1]["type"] == "UndefinedColumn"
    assert report.keys().isdisjoint({"user", "request", "breadcrumbs"})
    for canary in ("CANARY", SECRET, '"vars"'):
        assert canary not in json.dumps(report), canary
    assert len(web.events) == len(web.lines), web.output
    assert "/health" not in web.output, "probes are not logged"


@pytest.mark.parametrize("dsn", ["https://example.com/1", "nonsense"])
def test_a_dsn_that_is_none_is_one_line(start: Start, dsn: str) -> None:
    web = start("serve", SENTRY_DSN=dsn)
    assert web.ended() == 78
    assert web.output.startswith("error: SENTRY_DSN is not usable: ")
    assert len(web.lines) == 1

"""Traces of real processes, as a collector has them."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.telemetry.otlp import MOST_BYTES, Exporter
from {{ cookiecutter.package_name }}.telemetry.spans import Tracer, Value

from ..collector import Collector, Exported, read
from ..conftest import SECRET
from ..formats import Say
from ..processes import PACKAGE, Process, eventually
from ..wire import Wire
from .conftest import Database
from tools.stack import free_port

Start = Callable[..., Process]
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
ACT = Say(calls=(("act", '{"number": 987654321}'),))
SAYS = (
    Say(status=529, error="CANARY-error"),
    ACT,
    Say(hangs=True),
    ACT,
    Say(text=("CANARY-answer",), usage=(321, 0, 12)),
)
CANARIES = (b"CANARY", b"987654321", b"You say what you hear", b"needs nobody", SECRET.encode())


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def said(web: Process, text: str, **headers: str) -> str:
    """The session to which this was said, and that nobody waits for."""
    session = web.post("/chat/sessions").headers["location"]
    told = web.post(f"{session}/messages", {"text": text}, Prefer="respond-async", **headers)
    assert told.status_code == 202
    return session.rpartition("/")[2]


def idle(web: Process, session: str) -> None:
    url = f"/chat/sessions/{session}"
    eventually(lambda: web.get(url).json()["status"] == "idle", "it is answered")


@pytest.mark.factor("XI")
def test_one_tree_from_the_request_to_the_tools_whoever_is_killed_meanwhile(
    start: Start, collector: Collector
) -> None:
    with Wire(SAYS) as wire:
        on = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **SOON}
        model = {"MODEL": "openai:gpt-x", "OPENAI_BASE_URL": wire.url, "OPENAI_API_KEY": "none"}
        web = start("serve", **on).healthy()
        start("schedule", **on).healthy().logged("scheduler leads")
        doomed = start("work", **on, **model).healthy().logged("worker started")
        session = said(web, "CANARY-message", traceparent=f"00-{TRACE}-{CALLER}-01")
        eventually(lambda: len(wire.seen) == 3, "the model is asked once more, after the tool")
        eventually(lambda: collector.named("execute_tool"), "its first steps are exported")
        start("work", **on, **model).healthy().logged("worker started")
        doomed.signal(signal.SIGKILL)
        idle(web, session)
        eventually(lambda: told(collector).count("chat gpt-x") == 4, "all steps are exported")
    ours = [span for span in collector.spans if span.trace_id == TRACE]
    assert_tree(ours, session)
    failed = next(event for event in doomed.events if event["event"] == "model failed")
    assert (failed["trace_id"], failed["session"]) == (TRACE, session)
    sent = b"".join(collector.bodies)
    assert not [canary for canary in CANARIES if canary in sent]


def told(collector: Collector) -> list[str]:
    return [span.name for span in collector.spans if span.trace_id == TRACE]


def assert_tree(spans: list[Exported], session: str) -> None:
    """One root, nothing loose, and everything that was done."""
    (root,) = [span for span in spans if span.parent == CALLER]
    assert root.name == "POST /chat/sessions/{session_id}/messages"
    assert root.attributes["http.response.status_code"] == 202
    assert not {span.parent for span in spans} - {span.id for span in spans} - {CALLER}
    names = [span.name for span in spans]
    counted = {name: names.count(name) for name in set(names) - {root.name}}
    assert counted == {
        "send sessions.advance": 1,
        "process sessions.advance": 2,
        "chat gpt-x": 4,
        "execute_tool act": 2,
    }
    processes = {span.resource["service.instance.id"]: span.resource for span in spans}
    kinds = sorted(str(resource["process.type"]) for resource in processes.values())
    assert kinds == ["web", "worker", "worker"]
    first, *_, last = [span for span in spans if span.name == "chat gpt-x"]
    assert (first.failed, first.attributes["error.type"]) == (True, "Failure")
    assert last.attributes["gen_ai.usage.input_tokens"] == 321
    assert last.attributes["gen_ai.usage.output_tokens"] == 12
    assert last.attributes["gen_ai.provider.name"] == "openai"
    done = [span.attributes for span in spans if span.name == "execute_tool act"]
    assert [attributes["gen_ai.tool.call.id"] for attributes in done] == ["c1", "c2"]
    assert {attributes["gen_ai.conversation.id"] for attributes in done} == {session}


def test_content_is_exported_where_it_is_asked_for(start: Start, collector: Collector) -> None:
    """And would be found, if it were where it is not."""
    on = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **SOON}
    on["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "true"
    on["OTEL_EXPORTER_OTLP_COMPRESSION"] = "gzip"
    on["OTEL_EXPORTER_OTLP_HEADERS"] = "x-tenant=ours"
    on["OTEL_SERVICE_NAME"] = "another"
    web = start("serve", **on).healthy()
    start("work", **on).healthy()
    idle(web, said(web, "CANARY-message"))
    eventually(lambda: collector.named("chat"), "the model's call is exported")
    (chat,) = collector.named("chat")
    assert "CANARY-message" in chat.attributes["gen_ai.input.messages"]
    assert "I hear: CANARY-message" in chat.attributes["gen_ai.output.messages"]
    assert chat.resource["service.name"] == "another"
    assert {headers["x-tenant"] for headers in collector.headers} == {"ours"}


@pytest.mark.factor("IX")
def test_what_is_not_yet_exported_is_at_the_end(start: Start, collector: Collector) -> None:
    on = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    web = start("serve", **on).healthy()
    worker = start("work", **on).healthy()
    idle(web, said(web, "hello"))
    assert not collector.bodies
    for process in (worker, web):
        process.signal(signal.SIGTERM)
        assert process.ended() == 0, process.output
    assert {"POST /chat/sessions", "chat echo"} <= {span.name for span in collector.spans}
    assert not [span for span in collector.spans if span.name.endswith("/health")]


@pytest.mark.parametrize("fault", ["refuses", "hangs", "fails"])
def test_a_collector_that_is_away_holds_up_nothing_and_is_a_line_now_and_then(
    start: Start, collector: Collector, fault: str
) -> None:
    collector.status = 500
    with socket.create_server(("127.0.0.1", 0)) as silent:
        urls = {
            "refuses": f"http://127.0.0.1:{free_port()}",
            "hangs": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "fails": collector.url,
        }
        on = {"OTEL_EXPORTER_OTLP_ENDPOINT": urls[fault], "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5"}
        web = start("serve", **on, **SOON).healthy()
        worker = start("work", **on, **SOON).healthy()
        for _ in range(3):
            idle(web, said(web, "hello"))
        worker.logged("spans lost")
        began = time.monotonic()
        for process in (worker, web):
            process.signal(signal.SIGTERM)
            assert process.ended() == 0, process.output
        assert time.monotonic() - began < 8
    for process in (web, worker):
        assert len(process.events) == len(process.lines), process.output
        assert process.output.count("spans lost") <= 1
        assert "Traceback" not in process.output


@pytest.mark.parametrize("command", ["serve", "work", "schedule"])
def test_where_nothing_is_traced_or_reported_nothing_of_it_is_imported(
    command: str, database_url: str, tmp_path: Path
) -> None:
    """FastAPI itself imports the API of OpenTelemetry, which does nothing by itself."""
    environment = {"DATABASE_URL": database_url, "SECRET_KEY": SECRET, "PATH": "/usr/bin:/bin"}
    environment |= {"PORT": str(free_port()), "METRICS_PORT": str(free_port())}
    loaded, said = tmp_path / "loaded", tmp_path / "said"
    run = [sys.executable, "-X", "importtime", "-m", PACKAGE, command]
    with loaded.open("w") as stderr, said.open("w") as stdout:
        process = subprocess.Popen(run, stdout=stdout, stderr=stderr, env=environment, cwd=tmp_path)
        try:
            ready = {"serve": "web started", "work": "worker started", "schedule": "leads"}[command]
            eventually(lambda: ready in said.read_text(), f"{command} has started")
        finally:
            process.terminate()
            process.wait()
    imported = set(re.findall(r"\| +(\S+)$", loaded.read_text(), re.MULTILINE))
    assert "pydantic" in imported
    of_traces = {name for name in imported if name.startswith("opentelemetry")}
    beyond = ("sdk", "exporter", "proto", "semconv")
    if command == "serve":
        of_traces = {
            name for name in of_traces if name.split(".")[1:2] and name.split(".")[1] in beyond
        }
    assert not of_traces
    assert not imported & {"sentry_sdk", "requests", "google.protobuf", f"{PACKAGE}.telemetry.otlp"}


def test_a_job_is_part_of_the_trace_of_the_scheduler_that_started_it(
    start: Start, collector: Collector, database: Database
) -> None:
    database.execute("INSERT INTO jobs VALUES ('sessions.report', now() - interval '2 days')")
    on = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **SOON}
    start("work", **on).healthy()
    start("schedule", **on).healthy().logged("job started")
    eventually(lambda: collector.named("process sessions.report"), "the job is exported")
    eventually(lambda: collector.named("send sessions.report"), "and by the scheduler")
    (done,) = collector.named("process sessions.report")
    (sent,) = collector.named("send sessions.report")
    assert (done.trace_id, done.parent) == (sent.trace_id, sent.id)
    processes = sent.resource["process.type"], done.resource["process.type"]
    assert processes == ("scheduler", "worker")


def test_the_trace_is_kept_with_the_message(
    start: Start, collector: Collector, database: Database, settings: Settings
) -> None:
    web = start("serve", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url).healthy()
    said(web, "hello", traceparent=f"00-{TRACE}-{CALLER}-01")
    sql = "SELECT data::text FROM events WHERE data->>'kind' = 'user_spoke'"
    (row,) = database.execute(sql).fetchall()
    event = e.read(str(row[0]), 1)
    assert isinstance(event, e.UserSpoke)
    assert re.fullmatch(rf"00-{TRACE}-(?!{CALLER})[0-9a-f]+-01", event.trace)
    assert settings.otel_exporter_otlp_endpoint is None


def of_three(
    settings: Settings, url: str, monkeypatch: pytest.MonkeyPatch, *, batch: int = 3
) -> Exporter:
    """Its batches are of three spans; one more may wait."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    changes: dict[str, object] = {"otel_exporter_otlp_endpoint": url}
    changes |= {"otel_bsp_max_export_batch_size": batch, "otel_bsp_max_queue_size": 4}
    changes |= {"otel_bsp_schedule_delay": 60_000}
    return Exporter(settings.model_copy(update=changes), Resource({}))


def record(exporter: Exporter, count: int, **attributes: Value) -> None:
    tracer = Tracer(emit=exporter.take, is_sampled=lambda *_: True, close=exporter.close)
    for number in range(count):
        with tracer.span(str(number), attributes=dict(attributes)):
            pass


def test_a_full_batch_leaves_at_once_and_the_rest_at_the_end(
    settings: Settings, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = of_three(settings, collector.url, monkeypatch)
    record(exporter, 4)
    eventually(lambda: collector.bodies, "a batch is there")
    exporter.close()
    batches = [[span.name for span in read(body)] for body in collector.bodies]
    assert batches == [["0", "1", "2"], ["3"]]


def test_a_request_is_no_longer_than_a_collector_takes(
    settings: Settings, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = of_three(settings, collector.url, monkeypatch)
    record(exporter, 3, text="x" * MOST_BYTES)
    exporter.close()
    assert [len(read(body)) for body in collector.bodies] == [1, 1, 1]


def test_of_spans_that_come_faster_than_they_leave_it_is_said_how_many_are_lost(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        exporter = of_three(settings, url, monkeypatch)
        record(exporter, 3)
        with silent.accept()[0]:
            record(exporter, 6)
            eventually(lambda: "spans lost" in caplog.messages, "it is said")
        exporter.close()
    (said,) = [vars(record) for record in caplog.records if record.msg == "spans lost"]
    assert said["count"] == 3 + 6 - 4


def test_a_slow_collector_is_asked_now_and_then_and_not_for_each_span(
    settings: Settings, collector: Collector
) -> None:
    collector.seconds = 0.02
    given: dict[str, object] = {"otel_exporter_otlp_endpoint": collector.url}
    given |= {"otel_bsp_schedule_delay": 500}
    exporter = Exporter(settings.model_copy(update=given), Resource({}))
    began = time.monotonic()
    for _ in range(100):
        record(exporter, 1)
        time.sleep(0.01)
    exporter.close()
    assert len(collector.spans) == 100
    assert len(collector.bodies) <= 2 + (time.monotonic() - began) / 0.5


@pytest.mark.parametrize("odd", [None, 10**5000], ids=["none", "huge"])
def test_what_can_not_be_put_into_bytes_is_lost_alone(
    settings: Settings,
    collector: Collector,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    odd: Any,
) -> None:
    exporter = of_three(settings, collector.url, monkeypatch)
    record(exporter, 1, odd=odd)
    record(exporter, 2)
    eventually(lambda: "spans lost" in caplog.messages, "it is said")
    record(exporter, 3)
    exporter.close()
    assert len(collector.spans) == 5
    (said,) = [vars(record) for record in caplog.records if record.msg == "spans lost"]
    assert (said["count"], said["error"]) == (1, "ValueError" if odd else "TypeError")


def test_a_batch_is_no_longer_than_the_queue(
    settings: Settings, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = of_three(settings, collector.url, monkeypatch, batch=100)
    record(exporter, 4)
    eventually(lambda: len(collector.spans) == 4, "as many as may wait leave")
    exporter.close()

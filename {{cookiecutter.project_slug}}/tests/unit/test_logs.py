"""Log events, one a line, on stdout."""

import asyncio
import gc
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.telemetry.logs import configure_logs, request_id, session
from {{ cookiecutter.package_name }}.telemetry.spans import Tracer

from ..conftest import SECRET

log = logging.getLogger("tests")
UTC_NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level


def configure(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("LOG_FORMAT", log_format)
    monkeypatch.setenv("RELEASE", "v7")
    configure_logs(Settings.load(), "worker")


@pytest.mark.factor("XI")
def test_json_is_one_object_a_line_with_who_and_when(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(monkeypatch, "json")
    request_id.set("abc")
    log.info("it happened\non two lines", extra={"count": 3})
    request_id.set("")
    try:
        raise ValueError("bad\nvalue")
    except ValueError:
        log.exception("it failed")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["event"] == "it happened\non two lines"
    assert (first["service"], first["release"]) == (about().slug, "v7")
    assert (first["version"], first["environment"]) == (about().version, "development")
    assert (first["process"], first["level"], first["count"]) == ("worker", "INFO", 3)
    assert first["request_id"] == "abc"
    assert first["time"].endswith("+00:00")
    assert "ValueError" in second["exc_info"]
    assert "request_id" not in second


def test_text_is_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(monkeypatch, "text")
    log.warning("it happened", extra={"count": 3, "why": "two words", "none": ""})
    log.warning("on two\n lines\x1b[2J")
    try:
        raise ValueError("bad")
    except ValueError:
        log.exception("it failed")
    out = capsys.readouterr().out
    assert 'warning it happened count=3 why="two words" none=""\n' in out
    assert "warning on two lines\\u001b[2J\n" in out
    assert "ValueError: bad" in out


@pytest.mark.factor("XI")
def test_warnings_are_events_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(monkeypatch, "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("look out", stacklevel=1)
        logging.captureWarnings(capture=False)
    assert json.loads(capsys.readouterr().out)["logger"] == "py.warnings"


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was logged, and that nothing else was said anywhere."""
    out, err = capsys.readouterr()
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.factor("XI")
def test_an_event_names_its_session_and_its_span_and_tasks_inherit_both(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(monkeypatch, "json")
    tracer = Tracer(emit=lambda _: None, is_sampled=lambda *_: True, close=lambda: None)

    async def work(number: int) -> None:
        session.set(f"s{number}")
        with tracer.span("step", traceparent=""):
            log.info("in the task", extra={"number": number})
            await asyncio.create_task(below(number))

    async def below(number: int) -> None:
        await asyncio.sleep(0)
        log.info("below", extra={"number": number})

    async def scenario() -> None:
        await asyncio.gather(*(asyncio.create_task(work(number)) for number in (1, 2)))
        log.info("after")

    asyncio.run(scenario())
    *told, after = events(capsys)
    assert len(told) == 4
    assert all(event["session"] == f"s{event['number']}" for event in told)
    spans = {event["session"]: (event["trace_id"], event["span_id"]) for event in told}
    assert len(set(spans.values())) == 2
    assert all((len(trace), len(span)) == (32, 16) for trace, span in spans.values())
    assert after.keys().isdisjoint({"session", "trace_id", "span_id"})


def test_what_is_said_of_another_session_stays_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(monkeypatch, "json")
    token = session.set("s1")
    log.info("swept", extra={"session": "s2"})
    session.reset(token)
    assert [event["session"] for event in events(capsys)] == ["s2"]


def a_task_nobody_awaits() -> None:
    async def fails() -> None:
        raise ValueError("lost\nand found")

    async def scenario() -> None:
        task = asyncio.create_task(fails())
        await asyncio.sleep(0)
        del task
        gc.collect()

    asyncio.run(scenario())


def a_thread() -> None:
    def fails() -> None:
        raise ValueError("lost\nand found")

    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()


def the_program() -> None:
    try:
        raise ValueError("lost\nand found")
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)


def a_finalizer() -> None:
    class Fails:
        def __del__(self) -> None:
            raise ValueError("lost\nand found")

    Fails()
    gc.collect()


@pytest.mark.factor("XI")
@pytest.mark.parametrize("breaks", [a_task_nobody_awaits, a_thread, the_program, a_finalizer])
def test_what_nobody_catches_is_one_event(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], breaks: Callable[[], None]
) -> None:
    configure(monkeypatch, "json")
    breaks()
    (event,) = events(capsys)
    assert event["level"] in {"ERROR", "CRITICAL"}
    assert event["service"] == about().slug
    assert "ValueError: lost\nand found" in event["exc_info"]


def test_an_interrupt_is_no_fault_of_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(monkeypatch, "json")
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "KeyboardInterrupt\n")


@pytest.mark.factor("XI")
@pytest.mark.parametrize(
    "name",
    ["asyncio", "celery.worker", "kombu", "pgmq", "psycopg.pool", "urllib3", "uvicorn.error"],
)
def test_libraries_log_as_we_do_and_only_what_is_worth_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    configure(monkeypatch, "json")
    theirs = logging.getLogger(name)
    theirs.warning("Oh no: %s\n", "it broke")
    (event,) = events(capsys)
    assert event["event"] == "Oh no: it broke\n"
    assert (event["logger"], event["process"]) == (name, "worker")
    if name != "asyncio":
        theirs.info("I do what I do")
        assert not events(capsys)


@pytest.mark.parametrize(
    "value",
    [
        "Straße",
        "\u202ereversed\u009b31m\x1b[31m\u2028next",
        "half of a pair: \ud83d",
        2**70,
        {1: "by number"},
        {"of": [1.5, None, True]},
    ],
    ids=["umlaut", "orders", "half", "large", "numbered", "usual"],
)
@pytest.mark.factor("XI")
def test_whatever_an_event_brings_is_one_line_of_ascii(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: object
) -> None:
    configure(monkeypatch, "json")
    log.info("it came", extra={"brought": value, "at": UTC_NOON})
    line = capsys.readouterr().out
    assert line.isascii()
    assert line.rstrip("\n").isprintable()
    event = json.loads(line)
    assert event["brought"] == json.loads(json.dumps(value))
    assert event["at"] == "2026-06-01T12:00:00+00:00"


@pytest.mark.factor("XI")
def test_what_the_web_server_says_of_a_failed_request_was_said_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(monkeypatch, "json")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application\n")
    assert not events(capsys)


@pytest.mark.factor("XI")
def test_an_event_that_cannot_be_written_is_said_to_be_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(monkeypatch, "json")
    log.info("%d of them", "many")
    (event,) = events(capsys)
    assert event["event"] == "event not logged"
    assert (event["by"], event["what"]) == (log.name, "%d of them")

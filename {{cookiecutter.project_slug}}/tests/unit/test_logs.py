"""Log events, one a line, on stdout."""

import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.telemetry.logs import configure_logs, request_id

from ..conftest import SECRET

log = logging.getLogger("tests")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level


def configure(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/app")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("LOG_FORMAT", log_format)
    monkeypatch.setenv("RELEASE", "v7")
    configure_logs(Settings.load(), "worker")


def test_json_is_one_object_a_line_with_who_and_when(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(monkeypatch, "json")
    request_id.set("abc")
    log.info("it happened\non two lines", extra={"count": 3})
    request_id.set(None)
    try:
        raise ValueError("bad\nvalue")
    except ValueError:
        log.exception("it failed")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["event"] == "it happened\non two lines"
    assert (first["service"], first["release"]) == (about().slug, "v7")
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

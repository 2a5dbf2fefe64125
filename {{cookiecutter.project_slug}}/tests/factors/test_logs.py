"""Factor XI: each event is one line on stdout, once, whoever says it; and no file is written."""

import json
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from {{ cookiecutter.package_name }}.about import about

from ..collector import Collector
from ..integration.test_traces import CALLER, TRACE
from ..integration.test_worker import END_ALL_OTHERS
from ..processes import Process, eventually
from .test_processes import answered
from tools.stack import free_port

Start = Callable[..., Process]
KEYS = {"time", "level", "event", "logger", "service", "version", "release", "environment"}
PROBES = ("/health", "/ready", "/metrics")
COMMANDS = ("serve", "work", "schedule")


def ask(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.encode())


def lines(process: Process) -> list[dict[str, Any]]:
    """Everything that it has said, of which nothing is on stderr and nothing is no event."""
    assert not process.errors, process.errors
    told = [json.loads(line) for line in process.lines]
    assert told
    assert all(set(line) >= {*KEYS, "process"} for line in told)
    assert {line["service"] for line in told} == {about().slug}
    return told


def written(process: Process) -> Iterator[str]:
    """Regular files that the process has open to write in."""
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            flags = Path(f"/proc/{process.pid}/fdinfo/{link.name}").read_text().split()[3]
            if link.resolve().is_file() and int(flags, 8) & os.O_ACCMODE != os.O_RDONLY:
                yield str(link.resolve())
        except FileNotFoundError:
            continue  # closed meanwhile


@pytest.mark.factor("XI")
def test_what_libraries_say_beneath_is_one_line_on_stdout_too_and_nothing_is_said_twice(
    start: Start, database_url: str, tmp_path: Path
) -> None:
    own = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    web, worker, scheduler = (start(command, **own).healthy() for command in COMMANDS)
    scheduler.logged("scheduler leads")
    answered(web)
    with socket.create_connection(("127.0.0.1", web.port)) as odd:
        odd.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
        assert odd.recv(100).startswith(b"HTTP/1.1 400 ")
    web.logged("Invalid HTTP request received.")
    ask(database_url, END_ALL_OTHERS)
    answered(web)
    eventually(lambda: {"psycopg.pool"} <= loggers(web, worker, scheduler), "the pools say it")
    if sys.platform == "linux":
        assert not [file for process in (web, worker, scheduler) for file in written(process)]
    for process in (web, worker, scheduler):
        process.end()
        told = Counter(json.dumps(line | {"time": ""}) for line in lines(process))
        assert [line for line, times in told.items() if times > 1] == []
    assert {"uvicorn.error"} < loggers(web)
    assert not list(tmp_path.rglob("*"))


def loggers(*processes: Process) -> set[str]:
    return {line["logger"] for process in processes for line in process.events}


@pytest.mark.factor("XI")
def test_probes_are_not_logged_and_other_requests_are_once_by_their_id(start: Start) -> None:
    web, worker, scheduler = (start(command).healthy() for command in COMMANDS)
    for process, paths in ((web, PROBES), (worker, PROBES[::2]), (scheduler, PROBES[::2])):
        assert all(process.get(path).status_code == 200 for path in paths)
    told = web.get("/chat/sessions")
    for process in (web, worker, scheduler):
        process.end()
        assert not [line for line in lines(process) if any(p in str(line) for p in PROBES)]
    (line,) = [line for line in lines(web) if line["event"] == "request answered"]
    assert (line["path"], line["status"]) == ("/chat/sessions", 200)
    assert line["request_id"] == told.headers["x-request-id"]


@pytest.mark.factor("XI")
def test_the_lines_of_a_session_are_found_by_its_id_and_its_trace_in_every_process(
    start: Start, database_url: str
) -> None:
    with Collector() as collector:
        on = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        away = {"MODEL": "openai:m", "OPENAI_BASE_URL": f"http://127.0.0.1:{free_port()}"}
        web = start("serve", **on).healthy()
        worker = start("work", **on, **away, OPENAI_API_KEY="none").healthy()
        path = web.post("/chat/sessions").headers["location"]
        session = path.rpartition("/")[2]
        caller = {"traceparent": f"00-{TRACE}-{CALLER}-01", "Prefer": "respond-async"}
        web.post(f"{path}/messages", {"text": "hello"}, **caller)
        worker.logged("model failed").end()
        ask(database_url, "UPDATE sessions SET attempts = 5")
        scheduler = start("schedule", **on).healthy().logged("session failed")
    for process in (web, worker, scheduler):
        assert [line for line in lines(process) if line.get("session") == session], process.output
    for process in (web, worker):
        traced = [line for line in lines(process) if line.get("trace_id") == TRACE]
        assert {(line["session"], len(line["span_id"])) for line in traced} == {(session, 16)}


@pytest.mark.factor("XI")
@pytest.mark.parametrize(
    "command", ["migrate", "migrate status", "check --timeout 0", "sessions list --json", "cleanup"]
)
def test_a_command_says_its_answer_alone_on_stdout(start: Start, command: str) -> None:
    """Whatever the libraries beneath would say; where it fails that is one line on stderr."""
    process = start(*command.split(), LOG_LEVEL="DEBUG")
    failed = bool(process.ended())
    assert failed == ("--timeout" in command)
    assert len(process.errors) == failed, process.output
    if "--json" in command:
        assert json.loads(process.output) == []
    assert not [line for line in process.lines if "DEBUG" in line or line.startswith("{")]

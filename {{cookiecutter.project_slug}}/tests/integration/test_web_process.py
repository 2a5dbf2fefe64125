"""The web process, as the platform runs it."""

import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress

import httpx2
import pytest

from {{ cookiecutter.package_name }}.entrypoints.web import app

from ..processes import Process, eventually
from .conftest import Database

Start = Callable[..., Process]
AWAY = "postgresql://app:hunter2@127.0.0.1:1/app"


@pytest.mark.factor("IV")
def test_a_database_that_is_away_leaves_the_process_alive_and_not_ready(start: Start) -> None:
    web = start("serve", DATABASE_URL=AWAY).healthy()
    answer = web.get("/ready?full=true")
    assert answer.status_code == 503
    assert "refused" in answer.json()["services"]["database"]
    asked = web.post("/chat/sessions")
    assert asked.status_code == 503
    assert asked.json()["title"] == "A backing service does not answer"
    web.logged("backing service away")
    told = asked.text + web.get("/ready").text
    assert [word for word in ("127.0.0.1", "refused") if word in told] == []
    assert "hunter2" not in web.output + answer.text + asked.text


def test_a_hanging_database_is_given_up_on_in_time(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        web = start("serve", DATABASE_URL=f"postgresql://app@127.0.0.1:{port}/app").healthy()
        answer = web.get("/ready")
    assert answer.status_code == 503
    assert set(answer.json()["services"]) == {"database", "schema", "broker"}


@pytest.mark.factor("IX")
def test_a_request_in_flight_is_finished_after_sigterm(start: Start, database: Database) -> None:
    web = start("serve").healthy(path="/ready")
    answers: list[httpx2.Response] = []
    with database.transaction():
        database.execute("LOCK TABLE sessions")
        client = threading.Thread(target=lambda: answers.append(web.post("/chat/sessions")))
        client.start()
        sql = "SELECT 1 FROM pg_locks WHERE NOT granted"
        eventually(lambda: database.execute(sql).fetchone(), "the request waits")
        web.signal(signal.SIGTERM)
        eventually(lambda: not accepts(web.port), "new requests are refused")
    client.join(20)
    assert answers[0].status_code == 201
    assert web.ended() == 0, web.output
    web.logged("web stopped")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
def test_an_answer_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "UNREAD_SECONDS", 1)
    with app._bind(0) as listener, socket.create_connection(listener.getsockname()[:2]):  # noqa: SLF001
        answering = listener.accept()[0]
        answering.settimeout(10)
        with pytest.raises(TimeoutError, match="Connection timed out"):
            answering.sendall(b"x" * 50_000_000)
        answering.close()


def test_a_taken_port_is_one_line(start: Start) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        for command, name in {"serve": "PORT", "work": "METRICS_PORT"}.items():
            process = start(command, **{name: str(port)})
            assert process.ended() == 1
            assert process.errors[-1].startswith(f"error: {name}={port} ")
            assert "Traceback" not in process.output


@pytest.mark.factor("III")
def test_three_faults_in_the_environment_are_three_lines_and_exit_code_78(start: Start) -> None:
    for command in ("serve", "work", "schedule", "up", "migrate"):
        process = start(command, PORT="x", DATABASE_URL="mysql://", SECRET_KEY="short")
        assert process.ended() == 78
        named = [line.split()[1].partition("=")[0] for line in process.lines]
        assert named == ["PORT", "DATABASE_URL", "SECRET_KEY"], command


def test_a_head_that_does_not_end_is_ended(start: Start) -> None:
    web = start("serve").healthy()
    began = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: "
    with socket.create_connection(("127.0.0.1", web.port), 20) as client:
        client.sendall(began)
        with suppress(OSError):  # cut off in the middle
            for _ in range(100):
                client.sendall(b"x" * 100_000)
        assert b" 400 " in client.recv(100)
    assert web.get("/health").status_code == 200


def test_nobody_holds_a_connection_who_does_not_say_what_he_wants(start: Start) -> None:
    """A byte now and then is no reason to wait longer."""
    web = start("serve").healthy()
    head = b"POST /chat/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"
    with ExitStack() as open_:
        held = {}
        for begun in (b"", b"GET /health HTTP/1.1\r\nHost: x\r\nX-Sl", head):
            client = socket.create_connection(("127.0.0.1", web.port), 10)
            held[open_.enter_context(client)] = b"x" * bool(begun)
            client.sendall(begun)
        assert b" 401 " in client.recv(4096)
        eventually(lambda: {is_closed(*who) for who in held.items()} == {True}, "all are closed")


def is_closed(client: socket.socket, now_and_then: bytes) -> bool:
    client.settimeout(0.1)
    try:
        client.sendall(now_and_then)
        return client.recv(4096) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True

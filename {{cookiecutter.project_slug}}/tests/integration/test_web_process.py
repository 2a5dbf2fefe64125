"""The web process, as the platform runs it."""

import signal
import socket
import threading
from collections.abc import Callable

import httpx2
import pytest

from ..processes import Process, eventually
from .conftest import Database

Start = Callable[..., Process]
AWAY = "postgresql://app:hunter2@127.0.0.1:1/app"


def test_a_database_that_is_away_leaves_the_process_alive_and_not_ready(start: Start) -> None:
    web = start("serve", DATABASE_URL=AWAY).healthy()
    answer = web.get("/ready")
    assert answer.status_code == 503
    assert "refused" in answer.json()["services"]["database"]
    asked = web.post("/chat/sessions")
    assert asked.status_code == 503
    assert asked.json()["title"] == "A backing service does not answer"
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


def test_a_taken_port_is_one_line(start: Start) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        for command, name in {"serve": "PORT", "work": "METRICS_PORT"}.items():
            process = start(command, **{name: str(port)})
            assert process.ended() == 1
            assert process.output.splitlines()[-1].startswith(f"error: {name}={port} ")
            assert "Traceback" not in process.output


@pytest.mark.factor("III")
def test_three_faults_in_the_environment_are_three_lines_and_exit_code_78(start: Start) -> None:
    for command in ("serve", "up"):
        process = start(command, PORT="x", DATABASE_URL="mysql://", SECRET_KEY="short")
        assert process.ended() == 78
        named = [line.split()[1].partition("=")[0] for line in process.output.splitlines()]
        assert named == ["PORT", "DATABASE_URL", "SECRET_KEY"], command


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True

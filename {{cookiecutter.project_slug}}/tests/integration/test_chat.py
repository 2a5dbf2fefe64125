"""Conversations over HTTP with running processes: streams that drop, servers that stop."""

import json
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from ..processes import PATIENCE, Process, eventually
from .conftest import Database
from tools.keys import AUTH

Start = Callable[..., Process]
STORY = "once upon a time " * 20
END_ALL_OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


class Stream:
    """A client of a session's events, in a thread of its own."""

    def __init__(self, web: Process, session: str, *, last: int = 0) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.ended: str | None = None
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(last)} if last else {})
        self._url, self._headers = f"{web.url}{session}/events", headers
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        eventually(lambda: self.heard or last, "the stream has begun")

    @property
    def places(self) -> list[int]:
        return [data["seq"] for kind, data in self.heard if kind != "token"]

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.heard]

    def has(self, kind: str) -> "Stream":
        eventually(lambda: kind in self.kinds, f"{kind} among {self.kinds}")
        return self

    def ends(self) -> str:
        """How it ended: empty where it was well."""
        self._thread.join(PATIENCE)
        assert self.ended is not None
        return self.ended

    def _read(self) -> None:
        try:
            with (
                httpx2.Client(headers=AUTH, timeout=PATIENCE, verify=False) as client,
                client.stream("GET", self._url, headers=self._headers) as answer,
            ):
                kind = ""
                for line in answer.iter_lines():
                    if line.startswith("event: "):
                        kind = line[7:]
                    if line.startswith("data: "):
                        self.heard.append((kind, json.loads(line[6:])))
            self.ended = ""
        except httpx2.TransportError as error:
            self.ended = type(error).__name__


@pytest.fixture
def follow() -> Iterator[Callable[..., Stream]]:
    """A stream is a thread: one that outlives its test would hang the run."""
    with ExitStack() as ending:

        def follow(web: Process, session: str, *, last: int = 0) -> Stream:
            stream = Stream(web, session, last=last)
            ending.callback(stream.ends)
            ending.callback(web.end)
            return stream

        yield follow


def say(web: Process, session: str, text: str, **headers: str) -> httpx2.Response:
    return web.post(f"{session}/messages", {"text": text}, **headers)


def started(web: Process) -> str:
    return str(web.post("/chat/sessions").headers["location"])


def test_text_comes_while_it_is_said_and_then_each_event_once_and_in_order(
    start: Start, follow: Callable[..., Stream]
) -> None:
    web = start("serve").healthy()
    start("work").logged("worker started")
    session = started(web)
    stream = follow(web, session)
    response = say(web, session, STORY).json()["response"]
    stream.has("agent_answered")
    assert stream.places == list(range(1, len(stream.places) + 1))
    said = "".join(data["text"] for kind, data in stream.heard if kind == "token")
    assert said == response
    assert "token" not in stream.kinds[stream.kinds.index("agent_answered") :]


@pytest.mark.factor("VI")
def test_a_stream_of_a_killed_server_goes_on_at_another_without_loss_or_doubling(
    start: Start, follow: Callable[..., Stream]
) -> None:
    doomed, web = start("serve").healthy(), start("serve").healthy()
    start("work").logged("worker started")
    session = started(web)
    first = follow(doomed, session)
    say(web, session, "hello")
    first.has("agent_answered")
    doomed.signal(signal.SIGKILL)
    assert first.ends() != ""
    say(web, session, STORY)
    second = follow(web, session, last=first.places[-1]).has("agent_answered")
    together = first.places + second.places
    assert together == list(range(1, len(together) + 1))


@pytest.mark.factor("IX")
def test_a_server_told_to_stop_waits_for_no_stream_and_no_worker(
    start: Start, follow: Callable[..., Stream]
) -> None:
    web = start("serve").healthy()
    session = started(web)
    stream = follow(web, session)
    with ThreadPoolExecutor() as pool:
        told = pool.submit(say, web, session, STORY, Prefer="wait=60")
        stream.has("user_spoke")
        web.signal(signal.SIGTERM)
        assert told.result(PATIENCE).status_code == 202
    assert stream.ends() == ""
    assert web.ended(seconds=5) == 0, web.output


def test_a_deleted_session_ends_its_streams_wherever_they_are(
    start: Start, follow: Callable[..., Stream]
) -> None:
    web, other = start("serve").healthy(), start("serve").healthy()
    session = started(web)
    stream = follow(web, session)
    assert httpx2.delete(f"{other.url}{session}", headers=AUTH, verify=False).status_code == 204
    assert stream.ends() == ""
    assert follow(other, session, last=1).ends() == ""


def test_a_stream_outlives_a_restart_of_the_database(
    start: Start, database: Database, follow: Callable[..., Stream]
) -> None:
    web = start("serve").healthy()
    start("work").logged("worker started")
    session = started(web)
    stream = follow(web, session)
    database.execute(END_ALL_OTHERS)
    assert say(web, session, "hello", Prefer="wait=30").status_code == 200
    stream.has("agent_answered")
    assert stream.places == list(range(1, len(stream.places) + 1))


def test_a_message_sent_many_times_at_once_with_one_key_is_said_once(start: Start) -> None:
    web = start("serve").healthy()
    start("work").logged("worker started")
    session = started(web)

    def send(_: int) -> httpx2.Response:
        return say(web, session, "hello", **{"Idempotency-Key": "k"})

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(send, range(24)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["response"] for answer in answers}) == 1
    events = web.get(f"{session}/events").json()["events"]
    assert [event["kind"] for event in events].count("user_spoke") == 1


def test_the_body_of_an_answer_does_not_wait_for_its_head_to_be_acknowledged(start: Start) -> None:
    web = start("serve").healthy()
    gaps = []
    with socket.create_connection(("127.0.0.1", web.port)) as connection:
        for _ in range(20):
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            heard = connection.recv(4096)
            began = time.perf_counter()
            while not heard.endswith(b"}"):
                heard += connection.recv(4096)
            gaps.append(time.perf_counter() - began)
    assert statistics.median(gaps) < 0.02

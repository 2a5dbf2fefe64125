"""Notices to another program: a real server, and real workers, one of which is killed."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from {{ cookiecutter.package_name }}.adapters.outbound import Resolve, make_http
from {{ cookiecutter.package_name }}.adapters.webhook import WebhookChannel
from {{ cookiecutter.package_name }}.bootstrap import running
from {{ cookiecutter.package_name }}.channels import Address, Notice, Undeliverable
from {{ cookiecutter.package_name }}.errors import Unavailable
from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.signatures import NotSigned

from ..processes import Process, eventually
from ..receiver import Receiver, listening
from .conftest import Database

Start = Callable[..., Process]
SECRET = "s" * 64


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


def deliver(
    place: str, *, allow: str = "", sender: str = "ops", resolve: Resolve | None = None
) -> None:
    """One notice, as a worker sends it."""

    async def delivered() -> None:
        async with make_http(allow, resolve=resolve) as http:
            secrets = {"ops": [SECRET], "ci": ["c" * 64]}
            channel = WebhookChannel(
                http=http, secrets_of=lambda name: secrets.get(name, []), sender=sender
            )
            address = Address("webhook", place)
            notice = {"kind": "answer", "text": "Grüße", "session_id": "s1"}
            await channel.deliver(Notice(key="s1-2-ab", address=address, **notice))  # type: ignore[arg-type]

    asyncio.run(delivered())


def test_a_notice_is_signed_by_whoever_is_named_and_has_an_id(receiver: Receiver) -> None:
    deliver(receiver.url(), allow=receiver.place)
    (told,) = receiver.heard
    assert (told["kind"], told["text"], told["request"]) == ("answer", "Grüße", None)
    assert receiver.ids == ["s1-2-ab"] == [told["id"]]
    assert receiver.names(SECRET)
    deliver(f"ci@{receiver.url()}", allow=receiver.place)
    with pytest.raises(NotSigned):
        receiver.names(SECRET)


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410])
def test_what_a_receiver_will_not_have_is_not_sent_again(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(Undeliverable, match=f"127.0.0.1 answers {status}"):
        deliver(receiver.url(), allow=receiver.place)
    assert len(receiver.heard) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_a_receiver_can_not_have_now_is_sent_again(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(Unavailable, match=f"answers {status}"):
        deliver(receiver.url(), allow=receiver.place)


def test_where_nobody_listens_it_is_tried_again() -> None:
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    place = f"127.0.0.1:{server.server_port}"
    with pytest.raises(Unavailable, match="gave no answer"):
        deliver(f"http://{place}/", allow=place)


def test_where_a_name_server_is_away_it_is_tried_again() -> None:
    async def resolve(_: str, __: int) -> list[str]:
        return []

    for place, allow in (("ops.example.com", ""), ("ops:8443", "ops:8443")):
        with pytest.raises(Unavailable, match="could not be resolved"):
            deliver(f"https://{place}/agent", allow=allow, resolve=resolve)


def test_no_notice_goes_inside_or_is_sent_by_nobody(receiver: Receiver) -> None:
    for place in (receiver.url(), "http://localhost/", "http://169.254.169.254/latest/meta-data"):
        with pytest.raises(Undeliverable, match="OUTBOUND_ALLOW"):
            deliver(place)
    with pytest.raises(Undeliverable, match="'stranger' is not in WEBHOOKS"):
        deliver(f"stranger@{receiver.url()}", allow=receiver.place)
    with pytest.raises(Undeliverable, match="is no https"):
        deliver("ftp://example.com")
    assert receiver.heard == []


def test_a_worker_killed_between_telling_and_noting_it_tells_nobody_twice(
    start: Start, receiver: Receiver, settings: Settings, database: Database
) -> None:
    environment = {"WEBHOOKS": "ops", "OUTBOUND_ALLOW": receiver.place}
    workers = [start("work", **environment)]
    start("schedule", **environment)

    def kill() -> None:
        os.kill(workers[0].pid, signal.SIGKILL)
        receiver.before_answer = int

    async def said() -> str:
        async with running(settings, "test") as app:
            session = await app.service.start()
            await app.channels.follow(session, Address("webhook", f"ops@{receiver.url()}"))
            await app.service.say(session, "hello")
            return session

    receiver.before_answer = kill
    session = asyncio.run(said())
    eventually(lambda: receiver.heard, "the notice arrives")
    workers[0].ended()
    workers.append(start("work", **environment))
    sql = "SELECT tries FROM recipients WHERE session_id = %s AND told > 1 AND NOT is_open"
    row = eventually(lambda: database.execute(sql, [session]).fetchone(), "it is noted")
    assert row == (0,)
    assert len(receiver.heard) == 2
    assert len(set(receiver.ids)) == 1, "by its id the second is known for the first"
    counted = 'notices_total{channel="webhook",outcome="delivered"} 1.0'
    assert counted in workers[1].get("/metrics").text


def test_a_dead_letter_is_seen_and_goes_out_again(
    start: Start, receiver: Receiver, settings: Settings
) -> None:
    environment = {"WEBHOOKS": "ops", "OUTBOUND_ALLOW": receiver.place}
    scheduler = start("schedule", **environment).healthy()
    worker = start("work", **environment)
    receiver.status = 404
    to = f"webhook:{receiver.url()}"
    asking = start("ask", "hello", "--to", to, **environment)
    assert asking.ended() == 0, asking.output
    worker.logged("notice died")
    listed = start("letters", "list", **environment)
    assert listed.ended() == 0
    assert listed.lines[-1].rstrip().endswith(f"{to}: 127.0.0.1 answers 404")
    gauge = "dead_letters 1.0"
    eventually(lambda: gauge in scheduler.get("/metrics").text, "it is counted", seconds=60)
    receiver.status = 200
    again = start("letters", "again", "--all", **environment)
    assert (again.ended(), again.lines[-1]) == (0, "1 letters go out again\n")
    eventually(lambda: len(receiver.heard) == 2, "it goes out again")
    empty = lambda: len(lines_of(start("letters", "list", **environment))) == 1  # noqa: E731
    eventually(empty, "it is alive again")
    refused = start("ask", "hello", "--to", "pigeon:7", **environment)
    assert refused.ended() == 1
    assert "names no channel that is turned on: webhook" in refused.output


def lines_of(process: Process) -> list[str]:
    assert process.ended() == 0, process.output
    return process.lines

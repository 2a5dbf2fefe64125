"""API keys: who gets in, whose sessions they see, and how much they may do, over real HTTP."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from {{ cookiecutter.package_name }}.adapters.allowances import PART
from {{ cookiecutter.package_name }}.entrypoints.cli import cli
from {{ cookiecutter.package_name }}.errors import ConfigError
from {{ cookiecutter.package_name }}.settings import Settings

from ..processes import Process, eventually
from .conftest import Database
from tools.keys import ALL, KEY, another, let_in

Start = Callable[..., Process]
BODIES: dict[str, Any] = {
    "post /chat/sessions/{session_id}/messages": {"text": "act"},
    "post /chat/sessions/{session_id}/approvals/{request_id}": {"approved": True},
    "post /chat/sessions/{session_id}/resume": {"more": {"tokens": 1}},
}
NOBODY = "00000000-0000-0000-0000-000000000000"


def command(*arguments: str) -> Any:
    told = CliRunner().invoke(cli, ["keys", *arguments], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout) if "--json" in arguments else told.stdout


def is_out(call: httpx2.Client, key: str) -> bool:
    return call.get("/chat/sessions", headers=bearer(key)).status_code == 401


def until(lines: Iterator[str], word: str) -> Iterator[str]:
    """To the first that has the word, or to the end."""
    for line in lines:
        yield line
        if word in line:
            return


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def web(start: Start, settings: Settings) -> Process:
    return start("serve").healthy()


@pytest.fixture
def call(web: Process) -> Iterator[httpx2.Client]:
    """Without a key of its own."""
    with httpx2.Client(base_url=web.url, verify=False) as client:
        yield client


def test_a_key_is_shown_once_and_only_its_hash_is_kept(
    call: httpx2.Client, database: Database
) -> None:
    made = command("create", "ann", "--scopes", "chat,approve", "--days", "1", "--json")
    assert call.post("/chat/sessions", headers=bearer(made["key"])).status_code == 201
    assert made["key"] not in str(database.execute("SELECT * FROM api_keys").fetchall())
    (listed,) = [key for key in command("list", "--json") if key["name"] == "ann"]
    assert made["key"] not in str(listed)
    assert made["key"].startswith(listed["prefix"])
    assert listed["scopes"] == ["chat", "approve"]
    assert listed["last_used_at"]
    assert "ann" in command("list")


def test_nobody_gets_in_by_a_key_that_is_none(call: httpx2.Client) -> None:
    wrong = f"{KEY[:-1]}x"
    for headers in (
        {},
        bearer("x"),
        bearer(wrong),
        bearer("x y"),
        {"Authorization": f"Basic {KEY}"},
    ):
        for method, path in (("GET", "/chat/sessions"), ("POST", "/chat/sessions"), ("GET", "/x")):
            refused = call.request(method, path, headers=headers, content=b"{")
            assert refused.status_code == 401, "before anything of it is read"
            assert refused.headers["www-authenticate"] == "Bearer"
            assert refused.json()["title"] == "No valid key"
            assert refused.headers["content-type"] == "application/problem+json"


def test_a_revoked_and_an_expired_key_are_out_within_seconds(
    call: httpx2.Client, database: Database
) -> None:
    made = {name: command("create", name, "--days", "1", "--json") for name in ("ann", "bob")}
    for key in made.values():
        assert call.get("/chat/sessions", headers=bearer(key["key"])).status_code == 200
    assert command("revoke", "ann") == "key ann is revoked\n"
    database.execute("UPDATE api_keys SET expires_at = now() WHERE name = 'bob'")
    for name in made:
        eventually(partial(is_out, call, made[name]["key"]), f"{name} is out", seconds=10)
    shown = command("list")
    assert f"revoked {datetime.now(UTC):%Y-%m-%d}" in shown
    assert "expired" in shown


def test_the_stream_of_a_revoked_key_ends(web: Process, database: Database) -> None:
    key = bearer(command("create", "ann", "--json")["key"])
    with httpx2.Client(base_url=web.url, headers=key, verify=False, timeout=30) as ann:
        session = ann.post("/chat/sessions").headers["location"]
        events = {"Accept": "text/event-stream"}
        with ann.stream("GET", f"{session}/events", headers=events) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("event: session_started")
            command("revoke", "ann")
            eventually(partial(is_out, ann, key["Authorization"][7:]), "ann is out", seconds=10)
            said = web.post(f"{session}/messages", {"text": "secret"}, prefer="respond-async")
            assert said.status_code == 202
            assert not [line for line in until(lines, "secret") if "secret" in line]


def test_a_rotated_key_is_good_by_both_secrets_until_its_time_is_over(
    call: httpx2.Client, database: Database
) -> None:
    old = command("create", "ann", "--json")["key"]
    new = command("rotate", "ann", "--hours", "1", "--json")["key"]
    started = call.post("/chat/sessions", headers=bearer(old)).headers["location"]
    assert call.get(started, headers=bearer(new)).status_code == 200, "it is the same key"
    database.execute("UPDATE api_keys SET old_until = now()")
    eventually(partial(is_out, call, old), "the old one is out", seconds=10)
    assert call.get(started, headers=bearer(new)).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "all"], "there is a key 'all' already: rotate it, or take another name"),
        (["create", "x", "--scopes", "chat,fly"], "'fly' is no scope: expected some of chat"),
        (["create", "x", "--days", "99999999"], "should be less than or equal to 36500"),
        (["rotate", "all", "--hours", "1e30"], "should be less than or equal to 8760"),
        (["create", "a b"], "'a b' is no name"),
        (["rotate", "nobody"], "there is no key 'nobody' in use: `keys list` shows them"),
        (["revoke", "nobody"], "there is no key 'nobody' in use"),
    ],
)
@pytest.mark.usefixtures("settings")
def test_what_can_not_be_done_is_one_line(arguments: list[str], said: str) -> None:
    told = CliRunner().invoke(cli, ["keys", *arguments])
    assert told.exit_code
    assert said in (" ".join(told.output.replace("│", " ").split()) + str(told.exception))


def test_no_route_tells_another_owner_that_a_session_exists(
    web: Process, database_url: str, database: Database
) -> None:
    """Every route that the OpenAPI document has, so that a new one is covered by itself."""
    session = web.post("/chat/sessions").json()["session_id"]
    stranger = another(database_url, "eve", owner="others")
    stored = "SELECT s.*, e.data FROM sessions s JOIN events e ON e.session_id = s.id WHERE id = %s"
    before = database.execute(stored, [session]).fetchall()
    with httpx2.Client(base_url=web.url, headers=stranger, verify=False) as eve:
        routes = eve.get("/openapi.json").json()["paths"]
        tried = 0
        for path, methods in routes.items():
            for method in methods:
                told = [
                    eve.request(
                        method,
                        path.replace("{session_id}", id_).replace("{request_id}", "c1"),
                        json=BODIES.get(f"{method} {path}"),
                    )
                    for id_ in (session, NOBODY)
                ]
                if "{session_id}" not in path:
                    continue
                tried += 1
                assert {answer.status_code for answer in told} == {404}, f"{method} {path}"
                real, unknown = (answer.text for answer in told)
                assert real.replace(session, NOBODY) == unknown
        assert tried > 8
        assert eve.get("/chat/sessions").json()["sessions"] != []
        assert session not in eve.get("/chat/sessions?limit=100").text
    assert database.execute(stored, [session]).fetchall() == before
    assert web.get(f"/chat/sessions/{session}").status_code == 200


def test_every_route_needs_a_key_and_a_scope_unless_it_is_public(
    web: Process, database_url: str, call: httpx2.Client
) -> None:
    session = web.post("/chat/sessions").json()["session_id"]
    bare = another(database_url, "bare", owner="default", scopes=())
    document = call.get("/openapi.json").json()
    public = set()
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            url = path.replace("{session_id}", session).replace("{request_id}", "c1")
            body = BODIES.get(f"{method} {path}")
            answers = [call.request(method, url, json=body, headers=h) for h in ({}, bare)]
            if route["security"]:
                statuses = [answer.status_code for answer in answers]
                assert statuses == [401, 403], f"{method} {path}"
                assert {"401", "403", "429"} <= set(route["responses"])
            else:
                public.add(path)
    assert public == {"/health", "/ready", "/metrics", "/hooks/{sender}"}


def test_scopes_part_those_who_talk_those_who_approve_and_those_who_delete(
    web: Process, database_url: str
) -> None:
    session = f"/chat/sessions/{web.post('/chat/sessions').json()['session_id']}"
    tries = {
        "chat": ("get", session),
        "approve": ("post", f"{session}/approvals/c1"),
        "admin": ("delete", session),
    }
    for scope in ALL:
        key = another(database_url, scope, owner="default", scopes=(scope,))
        with httpx2.Client(base_url=web.url, headers=key, verify=False) as client:
            for needed, (method, path) in tries.items():
                body = {"approved": True} if method == "post" else None
                status = client.request(method, path, json=body).status_code
                assert (status == 403) == (scope != needed), (scope, needed)


def test_the_requests_of_a_minute_are_shared_by_all_web_processes(
    start: Start, web: Process
) -> None:
    most = 40
    key = command("create", "ann", "--requests", str(most), "--json")["key"]
    second = start("serve").healthy()
    let_in, refused = 0, None
    with httpx2.Client(headers=bearer(key), verify=False) as client:
        for number in range(3 * most):
            url = (web, second)[number % 2].url
            answer = client.get(f"{url}/chat/sessions")
            let_in += answer.status_code == 200
            refused = answer if answer.status_code == 429 else refused
    assert most - 2 * most // PART <= let_in <= most + 10, "some come back while this runs"
    assert refused
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["detail"] == f"key ann has {most} requests a minute"


def test_a_key_that_has_spent_its_day_gives_no_more_work(
    call: httpx2.Client, database: Database, start: Start
) -> None:
    start("work").healthy()
    key = bearer(command("create", "ann", "--tokens", "1", "--json")["key"])
    session = call.post("/chat/sessions", headers=key).headers["location"]
    said = call.post(f"{session}/messages", json={"text": "hello"}, headers=key)
    assert said.json()["response"], said.text

    def refused() -> httpx2.Response | None:
        told = call.post(f"{session}/messages", json={"text": "hello"}, headers=key)
        return told if told.status_code == 429 else None

    answer = eventually(refused, "the day's tokens are spent")
    assert "key ann has spent its 1 tokens of today (UTC)" in answer.json()["detail"]
    midnight = datetime.now(UTC) + timedelta(seconds=int(answer.headers["retry-after"]))
    assert midnight.hour == 0 or midnight.minute == 0
    assert call.get(session, headers=key).status_code == 200, "to look costs nothing"
    database.execute("UPDATE sessions SET day = day - 1")
    eventually(lambda: not refused(), "another day has begun")


def test_each_key_pays_for_what_it_asked_whoever_began_the_session(
    call: httpx2.Client, database: Database, start: Start
) -> None:
    start("work").healthy()
    scopes = ("--owner", "team", "--scopes", "chat,admin", "--tokens", "1", "--json")
    ann, bob, eve = (bearer(command("create", n, *scopes)["key"]) for n in ("ann", "bob", "eve"))
    session = call.post("/chat/sessions", headers=ann).headers["location"]

    def told(key: dict[str, str]) -> int:
        return call.post(f"{session}/messages", json={"text": "hello"}, headers=key).status_code

    def is_spent(key: dict[str, str]) -> bool:
        return call.post("/chat/sessions", headers=key).status_code == 429

    assert told(ann) == 200
    eventually(lambda: is_spent(ann), "it has spent its day")
    assert told(bob) == 200, "what ann has spent is not bob's"
    eventually(lambda: is_spent(bob), "nor does ann pay for bob")
    assert is_spent(ann), "though bob pays for the session now"
    assert call.delete(session, headers=bob).status_code == 204
    spent = database.execute("SELECT count(*) FROM spendings WHERE tokens > 0").fetchone()
    assert spent == (2,)
    assert is_spent(ann)
    assert is_spent(bob), "what is deleted has been spent all the same"
    assert not is_spent(eve)


def test_of_many_messages_at_once_no_more_pass_than_sessions_may_be_at_work(
    call: httpx2.Client,
) -> None:
    most, plenty = 3, 12
    key = bearer(command("create", "ann", "--sessions", str(most), "--json")["key"])
    own = [call.post("/chat/sessions", headers=key).headers["location"] for _ in range(plenty)]
    later = key | {"Prefer": "respond-async"}

    def say(session: str) -> int:
        return call.post(f"{session}/messages", json={"text": "x"}, headers=later).status_code

    with ThreadPoolExecutor(plenty) as at_once:
        assert sorted(at_once.map(say, own)) == [202] * most + [429] * (plenty - most)


def test_a_key_has_only_so_many_sessions_at_work(call: httpx2.Client) -> None:
    key = bearer(command("create", "ann", "--sessions", "1", "--json")["key"])
    first = call.post("/chat/sessions", headers=key).headers["location"]
    later = key | {"Prefer": "respond-async"}
    assert call.post(f"{first}/messages", json={"text": "x"}, headers=later).status_code == 202

    def refused() -> bool:
        return call.post("/chat/sessions", headers=later).status_code == 429

    eventually(refused, "one is at work, since no worker runs")
    call.post(f"{first}/cancel", headers=key)
    eventually(lambda: not refused(), "none is at work")


@pytest.mark.usefixtures("settings")
def test_a_key_that_is_another_key_s_secret_is_not_let_in(database_url: str) -> None:
    """One secret would be two names."""
    key = command("create", "ann", "--json")["key"]
    with pytest.raises(ConfigError, match="API_KEY is the secret of another key"):
        let_in(database_url, key=key, name="up")

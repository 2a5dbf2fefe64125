"""The console over HTTP, as a browser without a script would use it, on a real database."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from html import unescape
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
from fastapi.testclient import TestClient

from {{ cookiecutter.package_name }}.adapters.keys import Grant
from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.bootstrap import running
from {{ cookiecutter.package_name }}.entrypoints.web.app import create_app
from {{ cookiecutter.package_name }}.entrypoints.web.console import cookies
from {{ cookiecutter.package_name }}.ports import Scope, Whose
from {{ cookiecutter.package_name }}.settings import Settings

from ..conftest import EMPTY, SECRET
from ..fakes import FakeQueue
from .conftest import Database
from tools.keys import ALL, PLENTY

PAGES = ["/", "/inbox", "/overview"]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVIL = "<script>alert(1)</script>\u202e'\"&"
CALL = e.Call(id="c1", tool="risk", arguments={"number": 7, "why": EVIL})
QUESTION = e.Call(id="c1", tool="ask_person", arguments={"question": "Which way?"})
USAGE = e.Usage(input_tokens=1200, output_tokens=34, cost=Decimal("0.0125"))
SPOKE = e.UserSpoke(at=NOW, text=f"go {EVIL}", by="ann")
MOST_BYTES = 150_000
FORM = r'<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>'


def thought(*calls: e.Call, text: str = "") -> e.ModelAnswered:
    return e.ModelAnswered(
        at=NOW, seen=2, text=text, calls=calls, model="m-1", usage=USAGE, seconds=1.5
    )


def asks(permission: Any = "ask", call: e.Call = CALL) -> e.ToolRequested:
    until = datetime.now(UTC) + timedelta(days=1)
    return e.ToolRequested(at=NOW, call=call, permission=permission, expires_at=until)


def spent() -> e.SessionPaused:
    return e.SessionPaused(at=NOW, reason="the budget is spent: 20 of 20 steps", spent=True)


def asked_about(inbox: str) -> list[str]:
    """The sessions on this page of the inbox, from its top."""
    return re.findall(r'<h2 id="h-[^"]+"><a href="([^"]+)"', inbox)


class Browser:
    """What a person does with pages: goes to them, and sends the forms that are on them."""

    def __init__(self, http: TestClient, *, owner: str) -> None:
        self.http = http
        self.owner = owner
        self.key = self.new_key()

    def new_key(self, *scopes: Scope) -> str:
        """Of this owner; shown to nobody else."""
        grant = Grant(name=uuid4().hex, owner=self.owner, scopes=scopes or ALL, allowance=PLENTY)
        made: str = self.call(partial(self.http.app_state["identity"].create, grant))["key"]
        return made

    def call(self, act: Callable[[], Any]) -> Any:
        """What it gives on the loop of the service."""
        assert self.http.portal
        return self.http.portal.call(act)

    def get(self, path: str) -> httpx2.Response:
        return self.http.get(path, headers={"Accept": "text/html"})

    def sign_in(self, key: str | None = None, **more: str) -> httpx2.Response:
        sent = {"key": self.key if key is None else key, **more}
        return self.http.post("/sign-in", data=sent, follow_redirects=False)

    def send(self, on: str, action: str, **fields: str) -> httpx2.Response:
        """The form with this action on that page, with what is hidden in it."""
        forms = re.findall(FORM, self.get(on).text, re.DOTALL)
        inside = next(body for to, body in forms if unescape(to) == action)
        hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', inside)
        return self.http.post(action, data=dict(hidden) | fields, follow_redirects=False)


@pytest.fixture(scope="module")
def web(migrated_database: str) -> Iterator[TestClient]:
    """One for all: each test has an owner of its own, who sees nothing of the others."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", migrated_database)
        environment.setenv("SECRET_KEY", SECRET)
        environment.setenv("DEFAULT_AGENT", "echo")
        settings = Settings.load()
    parts = running(settings, "web", queue=FakeQueue())
    with TestClient(create_app(settings, parts=parts)) as client:
        yield client


@pytest.fixture(scope="module")
def database(migrated_database: str) -> Iterator[Database]:
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute(EMPTY)
        yield connection


@pytest.fixture
def out(web: TestClient, database: Database) -> Browser:
    """A browser that nobody has signed in with."""
    web.cookies.clear()
    return Browser(web, owner=uuid4().hex)


@pytest.fixture
def tokyo(web: TestClient, database: Database) -> Iterator[None]:
    """The database is in another zone, as it is wherever initdb finds one."""
    name, pool = database.info.dbname, web.app_state["service"].sessions._database._pool  # noqa: SLF001
    assert web.portal
    for there in ("SET timezone = 'Asia/Tokyo'", "RESET timezone"):
        database.execute(f'ALTER DATABASE "{name}" {there}'.encode())
        web.portal.call(pool.drain)
        if there.startswith("SET"):
            yield


@pytest.fixture
def browser(out: Browser) -> Browser:
    assert out.sign_in().status_code == 303
    return out


@pytest.fixture
def begin(out: Browser) -> Callable[..., str]:
    """Stores a session in which these events have happened; its path."""

    def begin(*events: e.AnyEvent, owner: str = "") -> str:
        thread = Thread(str(uuid4())).after(*(all_of := [*BEGAN, *events]))

        async def store() -> None:
            sessions = out.http.app_state["service"].sessions
            await sessions.start(thread, all_of, metadata={"t": 1}, whose=Whose(owner or out.owner))

        out.call(store)
        return f"/sessions/{thread.id}"

    return begin


BEGAN: list[e.AnyEvent] = [e.SessionStarted(at=NOW, agent="echo", prompt="v1"), SPOKE]


def kinds(database: Database, path: str) -> list[object]:
    sql = "SELECT data->>'kind' FROM events WHERE session_id = %s ORDER BY seq"
    return [kind for (kind,) in database.execute(sql, [path.rpartition("/")[2]]).fetchall()]


def statement(text: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", text))


def test_who_is_not_signed_in_is_led_to_the_form_and_then_to_where_he_wanted(out: Browser) -> None:
    for path in [*PAGES, f"/sessions/{uuid4()}", "/overview?x=1"]:
        led = out.http.get(path, follow_redirects=False)
        assert led.status_code == 303
        assert led.headers["location"].startswith("/sign-in?to=/")
        assert 'name="key"' in out.get(path).text
    back = out.sign_in(to="/overview?x=1")
    assert (back.status_code, back.headers["location"]) == (303, "/overview?x=1")
    assert out.get("/overview").status_code == 200


@pytest.mark.parametrize("to", ["https://evil.example", "//evil.example", "/\\evil.example", "x"])
def test_nobody_is_led_to_another_site(out: Browser, to: str) -> None:
    assert out.sign_in(to=to).headers["location"] == "/"


def test_a_wrong_key_is_told_so_and_a_cookie_holds_no_key(out: Browser) -> None:
    for wrong in ("", "x", f"{out.key[:-1]}x"):
        refused = out.sign_in(wrong)
        assert refused.status_code == 401
        assert "unknown, revoked or expired" in refused.text
        assert "set-cookie" not in refused.headers
    cookie = out.sign_in().headers["set-cookie"]
    assert out.key not in cookie
    _, _, secret = out.key.split("_", 2)  # which may have one too
    assert secret not in cookie
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    by_tls = out.http.post(
        "/sign-in",
        data={"key": out.key},
        headers={"X-Forwarded-Proto": "https"},
        follow_redirects=False,
    )
    assert "Secure" in by_tls.headers["set-cookie"]


def test_a_key_that_may_not_read_gets_no_cookie(out: Browser) -> None:
    refused = out.sign_in(out.new_key("approve"))
    assert refused.status_code == 403
    assert "scope" in refused.text


def test_a_forged_and_an_old_cookie_are_none(browser: Browser) -> None:
    good = browser.http.cookies[cookies.COOKIE]
    mark, _, rest = good.rpartition(".")
    older = str(int(mark.rpartition(".")[2]) + 1)
    forged = [
        f"{mark}.{'0' * 64}",
        f"{mark.rpartition('.')[0]}.{older}.{rest}",
        "x",
        "é",
        ".",
        "..",
    ]
    for cookie in forged:
        browser.http.cookies.clear()
        headers = {b"Cookie": f"{cookies.COOKIE}={cookie}".encode()}
        assert browser.http.get("/", headers=headers, follow_redirects=False).status_code == 303
    browser.http.cookies.set(cookies.COOKIE, good)
    assert browser.http.get("/", follow_redirects=False).status_code == 200
    seal = cookies.Seal(browser.http.app.state.settings)  # type: ignore[attr-defined]
    key = browser.http.app_state["identity"].mark(browser.key)
    for hours, status in ((11, 200), (13, 303)):
        older = seal.seal(key, now=time.time() - hours * 3600)
        browser.http.cookies.clear()
        browser.http.cookies.set(cookies.COOKIE, older)
        assert browser.http.get("/", follow_redirects=False).status_code == status


def test_signing_out_takes_the_cookie_away(browser: Browser) -> None:
    left = browser.send("/", "/sign-out")
    assert left.headers["location"] == "/sign-in"
    assert browser.http.get("/", follow_redirects=False).status_code == 303


def test_a_cookie_opens_no_api_and_a_key_no_page(browser: Browser) -> None:
    assert browser.http.get("/chat/sessions").status_code == 401
    browser.http.cookies.clear()
    bearer = {"Authorization": f"Bearer {browser.key}"}
    assert browser.http.get("/", headers=bearer, follow_redirects=False).status_code == 303


def test_a_form_counts_only_with_the_token_of_this_very_cookie(
    browser: Browser, database: Database
) -> None:
    token = re.findall(r'name="token" value="(\w+)"', browser.get("/").text)[0]
    for given in ({}, {"token": ""}, {"token": "0" * 64}):
        refused = browser.http.post("/", data={"text": "hello", **given})
        assert refused.status_code == 403
        assert "not of this session" in refused.text
    browser.sign_in(browser.new_key())
    assert browser.http.post("/", data={"text": "hello", "token": token}).status_code == 403
    assert "Nothing has been started" in browser.get("/").text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_no_other_site_can_send_a_form_nor_sign_anybody_in(
    browser: Browser, headers: dict[str, str]
) -> None:
    token = re.findall(r'name="token" value="(\w+)"', browser.get("/").text)[0]
    for path, sent in {
        "/": {"text": "x", "token": token},
        "/sign-in": {"key": browser.key},
    }.items():
        assert browser.http.post(path, data=sent, headers=headers).status_code == 403


def test_every_page_trusts_nothing_but_this_site_and_is_not_kept(browser: Browser) -> None:
    for path in [*PAGES, "/sign-in", "/sessions/x"]:
        page = browser.http.get(path, follow_redirects=False)
        if page.status_code == 303:
            continue
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r"""\son\w+=|style=["']|<style|<script(?! src="/static/)""", page.text)
        assert not re.search(r'(?:src|href)="(?!/|#)', page.text)


def test_what_pages_are_dressed_with_is_kept_for_ever_by_its_content(out: Browser) -> None:
    page = out.get("/sign-in").text
    found = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(found) == 3
    for path in found:
        asset = out.get(path)
        assert asset.status_code == 200
        assert "immutable" in asset.headers["cache-control"]
        assert asset.headers["content-encoding"] == "gzip"
        same = out.http.get(path, headers={"If-None-Match": asset.headers["etag"]})
        assert same.status_code == 304
        assert "immutable" not in out.get(path.partition("?")[0]).headers["cache-control"]
    assert out.get("/static/console.py").status_code == 404
    assert out.get("/static/..%2fpages.py").status_code == 404


def test_the_script_is_short() -> None:
    from {{ cookiecutter.package_name }}.entrypoints.web.console.assets import found

    assert len(found()["console.js"].data.splitlines()) < 200


def test_empty_pages_say_what_will_be_there(browser: Browser) -> None:
    for path, said in zip(
        PAGES, ("Nothing has been started", "Nothing waits", "No figures"), strict=True
    ):
        assert said in browser.get(path).text


def test_a_session_is_started_once_however_often_the_form_is_sent(
    browser: Browser, database: Database
) -> None:
    form = {"text": "hello", "once": "a", "agent": "echo"}
    first, second = browser.send("/", "/", **form), browser.send("/", "/", **form)
    assert first.status_code == second.status_code == 303
    path = first.headers["location"]
    assert second.headers["location"] == path
    assert kinds(database, path) == ["session_started", "user_spoke"]
    page = browser.get(path).text
    assert "The agent is working" in page
    browser.send(path, f"{path}/messages", text="more", once="b")
    browser.send(path, f"{path}/messages", text="more", once="b")
    assert kinds(database, path).count("user_spoke") == 2
    assert browser.get("/").text.count(f'href="{path}"') == 1


def test_a_blank_or_overlong_message_is_refused_with_words(browser: Browser) -> None:
    for text in ("", "  ", "x" * 100_001):
        refused = browser.send("/", "/", text=text)
        assert refused.status_code == 422
        assert 'role="alert"' in refused.text


def test_what_no_database_holds_is_no_filter_and_no_word_of_a_form(
    browser: Browser, database: Database
) -> None:
    assert "No session here" in browser.get("/?agent=%00&status=idle").text
    for once in ("\0", "a\0b", "é", "a" * 101):
        refused = browser.send("/", "/", text="hello", once=once)
        assert refused.status_code == 400, once
        assert "load the page again" in refused.text
    assert "Nothing has been started" in browser.get("/").text


def test_the_list_is_page_by_page_and_by_status(
    browser: Browser, begin: Callable[..., str], database: Database
) -> None:
    begin(thought(CALL), asks())
    _plant(database, 60, owner=browser.owner)
    first = browser.get("/")
    assert first.text.count("/sessions/") == 25
    older = re.findall(r'rel="next" href="([^"]+)"', first.text)
    second = browser.get(unescape(older[0])).text
    assert second.count('<th scope="row">') == 25
    seen = [set(re.findall(r'href="(/sessions/[^"]+)"', page)) for page in (first.text, second)]
    assert not seen[0] & seen[1]
    assert browser.get("/?status=waiting").text.count('<th scope="row">') == 1
    assert browser.get("/?status=nonsense").status_code == 200
    assert browser.get("/?before=nonsense").status_code == 409


def test_another_owners_session_does_not_exist(browser: Browser, begin: Callable[..., str]) -> None:
    path = begin(thought(CALL), asks(), owner="shop")
    for page in (path, f"{path}/live", f"{path}/events/1"):
        assert browser.get(page).status_code == 404
    token = re.findall(r'name="token" value="(\w+)"', browser.get("/").text)[0]
    for deed in ("messages", "approvals/c1", "pause", "resume", "cancel", "fork"):
        sent = {"token": token, "text": "x", "decision": "approve"}
        assert browser.http.post(f"{path}/{deed}", data=sent).status_code == 404, deed
    assert path not in browser.get("/").text
    assert path not in browser.get("/inbox").text


def test_a_session_shows_every_event_in_order_with_all_that_is_known_of_it(
    browser: Browser, begin: Callable[..., str]
) -> None:
    task = e.Task(id="t1", title="the first thing", status="done")
    path = begin(
        e.PlanMade(at=NOW, tasks=(task,)),
        thought(CALL),
        asks(),
        e.ToolApproved(at=NOW, call_id="c1", by="ann", comment="go on"),
        e.ToolReturned(at=NOW, call_id="c1", result={"dared": 7}, seconds=2.25),
        e.ModelFailed(at=NOW, error="no answer", seconds=3),
        e.AgentAnswered(at=NOW, text="it is done"),
    )
    page = browser.get(path).text
    assert re.findall(r'<li id="e(\d+)"', page) == [str(n) for n in range(1, 10)]
    told = " ".join(statement(page).split())
    for said in (
        "agent echo",
        "prompt v1",
        "prompt version v1",
        "$0.0125",
        "1,234 tok",
        "m-1",
        "1.5 s",
        "2.2 s",
        '"dared": 7',
        "no answer",
        "approved by ann: go on",
        "the first thing",
        "it is done",
    ):
        assert said in told, said


def test_what_a_model_or_a_user_says_is_text_and_hides_nothing(
    browser: Browser, begin: Callable[..., str]
) -> None:
    path = begin(thought(CALL, text=EVIL), asks())
    for page in (path, "/", "/inbox", f"{path}/events/3"):
        text = browser.get(page).text
        assert "<script>alert" not in text
        assert "\u202e" not in text
    arguments = browser.get("/inbox").text.partition('class="arguments"')[2].partition("</pre>")[0]
    assert r"\u202e" in arguments


def test_approvals_wait_in_the_inbox_and_are_decided_there(
    browser: Browser, begin: Callable[..., str], database: Database
) -> None:
    paths = [begin(thought(CALL), asks()) for _ in range(2)]
    inbox = browser.get("/inbox").text
    assert 'class="badge">2<' in inbox
    assert all(path in inbox for path in paths)
    for path, decision, kind in zip(
        paths, ("approve", "refuse"), ("tool_approved", "tool_denied"), strict=True
    ):
        decided = browser.send(
            "/inbox", f"{path}/approvals/c1", decision=decision, comment="because"
        )
        assert decided.headers["location"] == "/inbox"
        assert kinds(database, path)[-1] == kind
        assert "because" in browser.get(path).text
    assert "Nothing waits" in browser.get("/inbox").text


def test_the_inbox_shows_all_that_waits_page_by_page_the_oldest_first(
    browser: Browser, begin: Callable[..., str], database: Database
) -> None:
    paths = [begin(thought(CALL), asks()) for _ in range(22)]
    _by_hand(database, 25, owner=browser.owner)
    paths += [begin(spent()) for _ in range(3)]
    first = browser.get("/inbox").text
    assert 'class="badge">25<' in first
    (more,) = re.findall(r'rel="next" href="([^"]+)"', first)
    rest = browser.get(unescape(more)).text
    assert [asked_about(page) for page in (first, rest)] == [paths[:20], paths[20:]]
    assert 'rel="next"' not in rest
    assert 'href="/inbox">The oldest' in rest
    back = browser.send(unescape(more), f"{paths[21]}/approvals/c1", decision="approve")
    assert back.headers["location"] == unescape(more), "to the page that it was decided on"
    for path in (paths[20], *paths[22:]):
        browser.send(path, f"{path}/cancel")
    assert "Nothing more waits" in browser.get(unescape(more)).text
    assert browser.get("/inbox?after=nonsense").status_code == 409


def test_a_spent_budget_that_was_raised_and_a_pause_by_hand_wait_for_nobody(
    browser: Browser, begin: Callable[..., str]
) -> None:
    begin(spent(), e.SessionResumed(at=NOW, by="ann"), e.SessionPaused(at=NOW, reason="", by="ann"))
    begin(e.SessionPaused(at=NOW, reason="lunch", by="ann"))
    inbox = browser.get("/inbox").text
    assert "Nothing waits" in inbox
    assert "badge" not in inbox


def test_of_very_many_that_wait_the_badge_says_that_there_are_more(
    browser: Browser, database: Database
) -> None:
    _plant(database, 101, owner=browser.owner, status="waiting")
    assert 'class="badge">99+<' in browser.get("/").text


def test_nothing_but_the_button_approves(
    browser: Browser, begin: Callable[..., str], database: Database
) -> None:
    path = begin(thought(CALL), asks())
    assert browser.get(f"{path}/approvals/c1").status_code == 405
    browser.send(path, f"{path}/approvals/c1")
    assert kinds(database, path)[-1] == "tool_denied"
    late = browser.http.post(
        f"{path}/approvals/c1",
        data={"token": re.findall(r'name="token" value="(\w+)"', browser.get(path).text)[0]}
        | {"decision": "approve"},
    )
    assert late.status_code == 409
    assert "decided otherwise" in late.text


def test_a_question_is_answered(
    browser: Browser, begin: Callable[..., str], database: Database
) -> None:
    path = begin(thought(QUESTION), asks("answer", QUESTION))
    assert "Which way?" in browser.get("/inbox").text
    browser.send(path, f"{path}/approvals/c1", decision="approve", answer="north\r\nor south")
    assert kinds(database, path)[-1] == "person_answered"
    assert "north\nor south" in browser.get(path).text


def test_ages_and_times_are_true_in_whatever_zone_the_database_is(
    tokyo: None, browser: Browser, begin: Callable[..., str]
) -> None:
    begin()
    shown = re.findall(r'<time datetime="([^"]+)"[^>]*>([^<]+) UTC<', browser.get("/").text)
    assert len(shown) == 2
    for at, told in shown:
        assert abs(datetime.fromisoformat(at) - datetime.now(UTC)) < timedelta(minutes=1)
        assert at.startswith(told.replace(" ", "T"))


def test_who_may_not_approve_sees_the_arguments_and_no_button_that_works(
    out: Browser, begin: Callable[..., str], database: Database
) -> None:
    path = begin(thought(CALL), asks())
    out.sign_in(out.new_key("chat"))
    assert out.get("/inbox").text.count(" disabled>") == 2
    refused = out.send(path, f"{path}/approvals/c1", decision="approve")
    assert refused.status_code == 403
    assert kinds(database, path)[-1] == "tool_requested"
    assert "for keys with the scope" in out.get("/overview").text


def test_a_session_is_paused_resumed_and_cancelled(
    browser: Browser, begin: Callable[..., str], database: Database
) -> None:
    path = begin()
    for deed, kind in (
        ("pause", "session_paused"),
        ("resume", "session_resumed"),
        ("cancel", "session_cancelled"),
    ):
        done = browser.send(path, f"{path}/{deed}")
        assert (done.status_code, done.headers["location"]) == (303, path)
        assert kinds(database, path)[-1] == kind
    page = browser.get(path).text
    assert "This session is over" in page
    assert f'action="{path}/messages"' not in page


def test_a_spent_budget_is_in_the_inbox_and_is_raised_there(
    browser: Browser, begin: Callable[..., str], database: Database
) -> None:
    path = begin(*[thought()] * 20, spent())
    inbox = browser.get("/inbox").text
    assert "20 of 20 steps" in inbox
    assert 'name="steps" min="0" step="any" placeholder="0" value="20"' in inbox
    assert browser.send("/inbox", f"{path}/resume").status_code == 409
    for bad in ("x", "-1", "1e99"):
        assert browser.send("/inbox", f"{path}/resume", steps=bad).status_code == 422
    raised = browser.send("/inbox", f"{path}/resume", steps="5", cost="0.5")
    assert raised.headers["location"] == "/inbox"
    sql = "SELECT data->'more' FROM events WHERE session_id = %s ORDER BY seq DESC LIMIT 1"
    last = database.execute(sql, [path.rpartition("/")[2]]).fetchone()
    assert last == ({"steps": 5, "tokens": 0, "cost": "0.5", "seconds": 0.0},)


def test_a_session_is_forked_at_an_event_and_both_say_so(
    browser: Browser, begin: Callable[..., str], database: Database
) -> None:
    path = begin(thought(text="well"), e.AgentAnswered(at=NOW, text="well"))
    forked = browser.send(path, f"{path}/fork", at="2").headers["location"]
    assert forked != path
    assert kinds(database, forked) == ["session_started", "user_spoke"]
    assert path in browser.get(forked).text
    assert forked in browser.get(path).text
    assert browser.send(path, f"{path}/fork", at="99").status_code == 404


def test_a_long_session_is_shown_page_by_page_and_light(
    browser: Browser, begin: Callable[..., str]
) -> None:
    returned = e.ToolReturned(at=NOW, call_id="c1", result={"text": "x'\"<" * 600})
    path = begin(*[thought(CALL, text=EVIL * 90), asks("auto"), returned] * 660, SPOKE)
    page = browser.get(path)
    assert "1934 to 1983 of 1983" in " ".join(statement(page.text).split())
    assert page.text.count('<li id="e') == 50
    weight = len(page.content) + sum(
        len(browser.get(asset).content)
        for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    )
    assert weight < MOST_BYTES
    earlier = browser.get(f"{path}?upto=1933").text
    assert 'id="e1884"' in earlier
    assert "data-stream" not in earlier
    whole = browser.get(f"{path}/events/5").text
    assert whole.count("x'") == 600
    for wrong in ("0", "1984", "x", "9" * 30):
        assert browser.get(f"{path}/events/{wrong}").status_code == 404


def test_the_overview_draws_what_became_of_sessions_and_what_the_service_does(
    browser: Browser, begin: Callable[..., str], database: Database
) -> None:
    begin(thought(text="well"), e.AgentAnswered(at=NOW, text="well"))
    begin(thought(CALL), asks())
    begin(owner="shop")
    database.execute("INSERT INTO deployments (version, environment) VALUES ('1.4.2', 'staging')")
    page = browser.get("/overview").text
    told = " ".join(statement(page).split())
    assert page.count('<svg class="chart"') == 4
    assert "Sessions 2" in told, "another owner's is not counted"
    assert "Cost $0.0250" in told
    assert "Tokens 2,468" in told
    assert re.search(r"<title>\d+ \w+: 1 needs a person</title>", page)
    assert re.search(r"<title>\d+ \w+: 1.5 s</title>", page)
    assert "1.4.2 staging started" in told
    assert re.search(r"default [1-9]\d* [\d.]+ \w+ 0 0", told), "queued, and nobody works"


def test_a_revoked_key_is_out(out: Browser, database: Database) -> None:
    assert out.sign_in().status_code == 303
    assert out.get("/").status_code == 200
    database.execute("UPDATE api_keys SET revoked_at = now() WHERE owner = %s", [out.owner])
    out.http.app_state["identity"]._known.clear()  # noqa: SLF001 (it trusts a key for five seconds)
    assert out.http.get("/", follow_redirects=False).status_code == 303


def test_errors_are_pages_too(browser: Browser) -> None:
    for path, status in (("/sessions/x", 404), (f"/sessions/{uuid4()}", 404)):
        page = browser.get(path)
        assert page.status_code == status
        assert page.headers["content-type"].startswith("text/html")
        assert 'id="why"' in page.text
    assert browser.http.post("/", content=b"\xff\xfe").status_code == 400


def _plant(database: Database, count: int, *, owner: str, status: str = "idle") -> None:
    """So many sessions of whom nothing but the row is asked."""
    database.execute(
        """INSERT INTO sessions (id, owner, agent, prompt, title, schema, status, seq)
        SELECT gen_random_uuid(), %s, 'echo', 'v1', 'session ' || n, 1, %s, 0
        FROM generate_series(1, %s) AS n""",
        [owner, status, count],
    )


def _by_hand(database: Database, count: int, *, owner: str) -> None:
    """So many sessions that somebody has paused."""
    _plant(database, count, owner=owner, status="paused")
    paused = e.SessionPaused(at=NOW, reason="lunch", by="ann")
    database.execute(
        """INSERT INTO events (session_id, seq, version, data)
        SELECT id, 1, 1, %s::jsonb FROM sessions WHERE owner = %s AND status = 'paused'""",
        [paused.model_dump_json(), owner],
    )

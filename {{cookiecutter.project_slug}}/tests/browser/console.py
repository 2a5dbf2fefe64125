"""The console in a real browser, on a fresh `up`: run by `make e2e`.

Each test is a person at work; what the service does meanwhile is real, but for the model, which is
the agent's own script.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import SECRET
from ..processes import PATIENCE, Process, eventually
from .driver import DESKTOP, PHONE, chromium, flaws
from tools.keys import KEY

FIRST_PAINT_SECONDS = 1.0
EVENTS = 2_000
SESSIONS = 1_000
LOOK = """() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime"""
FOCUSED = "() => [document.activeElement.tagName, document.activeElement.innerText]"
PLANT = """INSERT INTO sessions (id, agent, prompt, title, schema, status, seq, tokens, cost)
SELECT gen_random_uuid(), 'release', 'v1', 'session ' || n, 1, 'idle', 1, n, n / 1000.0
FROM generate_series(1, %s) AS n"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("up")
    home.chmod(0o711)
    return home


@pytest.fixture(scope="module")
def up(home: Path) -> Iterator[Process]:
    own = {"DATABASE_URL": "embedded:", "SECRET_KEY": SECRET, "API_KEY": KEY}
    own |= {"DEFAULT_AGENT": "release", "MODEL": "scripted:release?seconds=0.2"}
    process = Process("up", environment=own, directory=home)
    try:
        eventually(lambda: "Ctrl-C stops it" in process.output, "it is up", seconds=90)
        Process("seed", environment=own, directory=home).ended()
        yield process
    finally:
        process.end()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Any, up: Process) -> Iterator[Callable[..., Any]]:
    """A page of somebody who has signed in; any error in it, or refusal by its policy, fails."""
    contexts, faults = [], list[str]()

    def visit(path: str = "/", *, size: dict[str, int] = DESKTOP, **options: Any) -> Any:
        context = browser.new_context(viewport=size, base_url=up.url, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 2_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: note(line.text))
        page.goto(path)
        page.fill("#key", KEY)
        page.press("#key", "Enter")
        page.wait_for_url(f"{up.url}{path}")
        return page

    def note(text: str) -> None:
        if "Content Security Policy" in text:
            faults.append(text)

    yield visit
    for context in contexts:
        context.close()
    assert not faults


def asked(up: Process, text: str) -> str:
    """A session in which this has been said, and what comes of it has come; its path."""
    session = str(up.post("/chat/sessions").headers["location"])
    assert up.post(f"{session}/messages", {"text": text}, Prefer="wait=30").status_code == 200
    return session.removeprefix("/chat")


def state(up: Process, path: str) -> dict[str, Any]:
    known: dict[str, Any] = up.get(f"/chat{path}").json()
    return known


def start(page: Any, text: str) -> None:
    page.fill("#text", text)
    page.click("text=Start a session")
    page.wait_for_url("**/sessions/*")


def test_a_session_is_started_and_the_answer_is_watched_as_it_is_said(
    visit: Callable[..., Any], up: Process
) -> None:
    page = visit()
    start(page, "what runs where?")
    page.wait_for_selector(".said.agent:not(.live)")
    page.evaluate(
        """() => { window.heard = ""; const at = document.querySelector("#saying .text");
        new MutationObserver(() => { if (at.textContent.length > heard.length)
        heard = at.textContent }).observe(at, { childList: true, subtree: true }) }"""
    )
    page.fill("#text", "tell me a story")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=Once there was a release >> nth=0")
    page.wait_for_function("() => window.heard.startsWith('Once there was')")
    page.wait_for_function("() => document.querySelectorAll('#talk .said.agent').length === 2")
    page.wait_for_selector("#saying", state="hidden")
    assert page.input_value("#text") == ""
    page.goto("/")
    assert page.inner_text("#sessions tbody tr >> nth=0").startswith("answered")


def test_an_approval_and_a_refusal_go_by_the_buttons_and_the_page_goes_on(
    visit: Callable[..., Any], up: Process
) -> None:
    page = visit()
    for text, button, told in (
        ("deploy 1.4.2 to production", "Approve", "1.4.2 runs in production"),
        ("deploy 1.4.2 to production", "Refuse", "not done"),
    ):
        page.goto("/")
        start(page, text)
        page.wait_for_selector(".request")
        assert '"version": "1.4.2"' in page.inner_text(".arguments")
        page.fill(".request textarea", "seen by a person")
        page.click(f".request button:has-text('{button}')")
        page.wait_for_selector(f"#talk >> text={told}")
        assert page.locator(".request").count() == 0
        assert "seen by a person" in page.inner_text("#talk")


def test_the_inbox_fills_and_empties_under_who_looks_at_it(
    visit: Callable[..., Any], up: Process
) -> None:
    page = visit("/inbox")
    path = asked(up, "ask which region goes first?")
    page.wait_for_selector("text=which region goes first?")
    page.fill(f"[id='s-{path.rpartition('/')[2]}'] textarea", "the small one")
    page.wait_for_timeout(5_000)  # it asks anew every four: what is typed is kept
    page.click("text=Send the answer")
    page.wait_for_selector(f"[id='s-{path.rpartition('/')[2]}']", state="detached")
    eventually(lambda: state(up, path)["status"] == "idle", "the agent has gone on")
    assert "the small one" in str(up.get(f"/chat{path}/history").json())


def test_a_spent_budget_is_raised_where_it_stands(visit: Callable[..., Any], up: Process) -> None:
    path = asked(up, "spend the budget")
    page = visit(path)
    page.fill("input[name=steps]", "3")
    page.click("text=Raise the budget and resume")
    page.wait_for_selector("#budget >> text=15 of 15")
    page.wait_for_selector("#paused")
    assert state(up, path)["status"] == "paused"


def test_a_session_is_paused_resumed_forked_and_cancelled(
    visit: Callable[..., Any], up: Process
) -> None:
    path = asked(up, "what runs where?")
    page = visit(path)
    page.click("#do >> text=Pause")
    page.wait_for_selector("#paused")
    page.click("#paused >> text=Resume")
    page.wait_for_selector("#paused", state="detached")
    page.click("#e2 summary")
    page.click("#e2 >> text=Fork here")
    page.wait_for_url(lambda url: "/sessions/" in url and not url.endswith(path))
    page.wait_for_selector("#talk .said.agent")
    assert path.rpartition("/")[2][:8] in page.inner_text("#more")
    page.click("text=Cancel…")
    page.fill("#reason", "a trial")
    page.click("text=End this session for good")
    page.wait_for_selector("text=This session is over")


def test_the_page_goes_on_when_the_server_is_killed_under_it(
    visit: Callable[..., Any], up: Process, home: Path
) -> None:
    path = asked(up, "what runs where?")
    page = visit(path)
    page.evaluate("() => { window.isTheSame = true }")
    page.fill("#text", "tell me a story")
    known = json.loads((home / ".local" / "up.json").read_text())
    os.kill(known["web"]["pid"], signal.SIGKILL)
    page.wait_for_selector("text=The server does not answer")
    eventually(lambda: _is_up(up), "the server is there again")
    page.wait_for_selector("#notice", state="hidden")
    assert page.input_value("#text") == "tell me a story", "what was typed is kept"
    page.click(".compose .primary")
    page.wait_for_selector("#talk >> text=Once there was a release")
    assert page.evaluate("() => window.isTheSame"), "without being loaded anew"


def test_who_is_signed_in_no_more_is_led_to_the_form_and_back(
    visit: Callable[..., Any], up: Process
) -> None:
    path = asked(up, "what runs where?")
    page = visit(path)
    page.context.clear_cookies()
    page.evaluate("() => { source.close(); listen(); }")  # as after a lost connection
    page.wait_for_url(lambda url: "/sign-in?to=" in url)
    page.fill("#key", KEY)
    page.press("#key", "Enter")
    page.wait_for_url(f"**{path}")


def test_a_message_whose_answer_was_lost_is_changed_and_sent_as_another(
    visit: Callable[..., Any], up: Process
) -> None:
    path = asked(up, "what runs where?")
    page = visit(path)

    def lose(route: Any) -> None:
        """It arrives; that it did nobody hears."""
        route.fetch()
        route.abort()

    page.route("**/messages", lose, times=1)
    page.fill("#text", "what runs in staging?")
    page.click(".compose .primary")
    page.wait_for_selector("text=What you wrote is still here")
    page.fill("#text", "what runs in production?")
    page.click(".compose .primary")
    page.wait_for_selector("text=was sent with another message")
    page.click(".compose .primary")
    page.wait_for_selector("#talk >> text=what runs in production?")
    said = str(up.get(f"/chat{path}/history").json())
    assert [said.count(f"what runs in {where}?") for where in ("staging", "production")] == [1, 1]


def test_the_inbox_is_worked_through_page_by_page(visit: Callable[..., Any], up: Process) -> None:
    first = asked(up, "deploy 1.4.2 to production")
    forks = [str(up.post(f"/chat{first}/fork").headers["location"]) for _ in range(21)]
    page = visit("/inbox")
    assert page.locator(".inbox article").count() == 20
    page.click("text=More that wait")
    page.wait_for_url("**/inbox?after=*")
    last = f"[id='s-{forks[-1].rpartition('/')[2]}']"
    before = page.locator(".inbox article").count()
    page.click(f"{last} button:has-text('Refuse')")
    page.wait_for_selector(last, state="detached")
    assert page.locator(".inbox article").count() == before - 1, "it stays on its page"
    for fork in forks:
        assert up.post(f"{fork}/cancel").status_code == 200
    page.wait_for_selector("text=Nothing more waits for you")
    page.click("text=The oldest")
    page.wait_for_url(f"{up.url}/inbox")
    page.wait_for_selector(f".inbox a[href='{first}']")


def test_all_is_done_by_keyboard_alone(visit: Callable[..., Any], up: Process) -> None:
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    tab_to(page, "TEXTAREA")
    page.keyboard.type("deploy 1.4.2 to production")
    tab_to(page, "BUTTON", "Start a session")
    page.keyboard.press("Enter")
    page.wait_for_selector(".request")
    tab_to(page, "BUTTON", "Approve")
    page.keyboard.press("Enter")
    page.wait_for_selector("#talk >> text=1.4.2 runs in production")
    assert page.evaluate("() => document.activeElement !== document.body"), "focus is not lost"
    tab_to(page, "SUMMARY", "Approval asked")
    page.keyboard.press("Enter")
    assert page.locator(".rows details[open]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_is_whole_at_each_width_and_axe_finds_nothing(
    visit: Callable[..., Any], up: Process, size: dict[str, int], scheme: str
) -> None:
    waiting, over = asked(up, "deploy 1.4.2 to production"), asked(up, "spend the budget")
    page = visit(size=size, color_scheme=scheme)
    for path in ("/", "/inbox", "/overview", waiting, over, f"{over}/events/5", "/sessions/x"):
        page.goto(path)
        page.evaluate("() => document.querySelectorAll('details').forEach((d) => (d.open = true))")
        assert flaws(page) == [], path
        too_wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        assert too_wide <= 0, path
    page.context.clear_cookies()
    page.goto("/")
    assert flaws(page) == []


def test_long_lists_and_long_sessions_are_painted_at_once(
    visit: Callable[..., Any], up: Process, home: Path
) -> None:
    import psycopg

    from {{ cookiecutter.package_name }}.adapters.embedded import Embedded

    path = asked(up, "what runs where?")
    with psycopg.connect(Embedded(home / ".local" / "postgres").url(), autocommit=True) as database:
        database.execute(PLANT, [SESSIONS])
        session = path.rpartition("/")[2]
        lengthen(database, session)
    page = visit()
    for where in ("/", path, "/overview"):
        assert min(painted(page, where) for _ in range(3)) < FIRST_PAINT_SECONDS, where
    page.goto(path)
    assert f"of {state(up, path)['seq']:d}" in page.inner_text("#counted")
    assert state(up, path)["seq"] > EVENTS


def lengthen(database: Any, session: str) -> None:
    """A session of so many events more, none of which asks for anything."""
    event = {"kind": "reflected", "at": "2026-01-02T03:04:05Z", "text": "and so on " * 20}
    database.execute(
        """INSERT INTO events (session_id, seq, version, data)
        SELECT id, seq + n, 1, %s::jsonb FROM sessions, generate_series(1, %s) AS n
        WHERE id = %s""",
        [json.dumps(event), EVENTS, session],
    )
    database.execute("UPDATE sessions SET seq = seq + %s WHERE id = %s", [EVENTS, session])


def painted(page: Any, where: str) -> float:
    """Seconds until something was seen of it."""
    page.goto(where)
    seen: float = eventually(lambda: page.evaluate(LOOK), "it is painted")
    return seen / 1000


def tab_to(page: Any, tag: str, text: str = "") -> None:
    """Presses Tab until the focus is on such an element; fails where it never is."""
    for _ in range(120):
        page.keyboard.press("Tab")
        at = page.evaluate(
            "() => [document.activeElement.tagName, document.activeElement.innerText]"
        )
        if at[0] == tag and text in (at[1] or ""):
            return
    raise AssertionError(f"Tab never comes to {tag} {text!r}")


def _is_up(up: Process) -> bool:
    try:
        return bool(up.get("/ready").status_code == 200)
    except Exception:
        return False

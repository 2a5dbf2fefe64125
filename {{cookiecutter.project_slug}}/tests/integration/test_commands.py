"""The management commands on a real database, most of them in the process of the test."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import psycopg
import pytest
from typer.testing import CliRunner, Result

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.adapters.reports import ACTIVITY, CENSUS, STANDING, WORK
from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.bootstrap import App, running
from {{ cookiecutter.package_name }}.entrypoints.cli import cli
from {{ cookiecutter.package_name }}.entrypoints.commands import approve
from {{ cookiecutter.package_name }}.errors import AppError, Conflict, NotFound
from {{ cookiecutter.package_name }}.service import OPERATOR
from {{ cookiecutter.package_name }}.settings import Settings

from .conftest import Database

T = TypeVar("T")
Run = Callable[..., Result]
NOW = datetime.now(UTC)
NOBODY = "00000000-0000-4000-8000-000000000009"
CALL = e.Call(id="c1", tool="deploy_to_production", arguments={"version": "1.4.2"})
USAGE = e.Usage(input_tokens=30, output_tokens=12, cost=Decimal("0.25"))
THOUGHT = e.ModelAnswered(at=NOW, seen=2, model="m", calls=(CALL,), usage=USAGE)
ASKED = e.ToolRequested(at=NOW, call=CALL, permission="ask", expires_at=NOW + timedelta(days=1))
QUESTION = ASKED.model_copy(update={"permission": "answer"})
EFFECT = """INSERT INTO effects (key, session_id, request, result)
    VALUES (%s, %s, '{"to": "Zoë"}', '{"id": 7}')"""
RECIPIENT = """INSERT INTO recipients (session_id, channel, place, thread, is_origin)
    VALUES (%s, 'mail', 'ada@example.com', '<1@example.com>', true)"""
LETTER = """INSERT INTO dead_letters (session_id, channel, place, seq, kind, reason)
    VALUES (%s, 'mail', 'ada@example.com', 2, 'answer', 'there is no such mailbox')"""
COLUMNS = """SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name IN (SELECT table_name
        FROM information_schema.columns WHERE column_name = 'session_id' UNION SELECT 'sessions')"""
SPENT = e.SessionPaused(at=NOW, reason="the budget is spent: 5 of 5 tokens", spent=True)


@pytest.fixture(autouse=True)
def _settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of these tests run on the test's own database."""
    monkeypatch.setenv("MODEL", "scripted:echo")


def run(*command: str) -> Result:
    return CliRunner().invoke(cli, command)


def output(*command: str, code: int = 0) -> str:
    result = run(*command)
    assert result.exit_code == code, result.output or result.exception
    return result.stdout


def refused(*command: str) -> AppError:
    """The error that the console script makes one line of."""
    result = run(*command)
    assert isinstance(result.exception, AppError), result.output
    return result.exception


def with_app(act: Callable[[App], Coroutine[Any, Any, T]]) -> T:
    async def whole() -> T:
        async with running(Settings.load(), "test") as app:
            return await act(app)

    return asyncio.run(whole())


def session(*events: e.AnyEvent, says: str = "deploy it", id_: str = "") -> str:
    """A session in which that has happened."""

    async def act(app: App) -> str:
        began = await app.service.start()
        await app.service.say(began, says)
        if events:
            thread = await app.service.thread(began)
            told = [*thread.events, *events]
            await app.service.delete(began)
            await app.service.sessions.start(
                Thread.of(began, told), told, metadata={}, whose=OPERATOR
            )
        return began

    return with_app(act)


def test_sessions_are_listed_by_what_they_are(database: Database) -> None:
    ready, waiting = session(says="first\x1b[2J"), session(THOUGHT, ASKED, says="second")
    lines = output("sessions", "list").splitlines()
    assert lines[0].split()[:2] == ["SESSION", "STATUS"]
    assert [line.split()[:2] for line in lines[1:]] == [[waiting, "waiting"], [ready, "ready"]]
    assert lines[1].endswith("42    $0.2500  echo: second")
    assert lines[2].endswith("  echo: first\\x1b[2J")
    listed = json.loads(output("sessions", "list", "--status", "waiting", "--json"))
    assert [(s["id"], s["status"], s["cost"]) for s in listed] == [(waiting, "waiting", "0.25")]
    assert output("sessions", "list", "--agent", "nobody", "--json") == "[]\n"
    assert "there are more" in run("sessions", "list", "--limit", "1").stderr


def test_a_session_is_shown_with_what_it_waits_for() -> None:
    plan = e.PlanMade(at=NOW, tasks=(e.Task(id="t1", title="look around"),))
    waiting = session(plan, THOUGHT, ASKED)
    text = output("sessions", "show", waiting)
    assert "\nstatus   waiting\n" in text
    assert "plan     [ ] t1: look around" in text
    assert f"c1 deploy_to_production {json.dumps(CALL.arguments)} (your approval, until" in text
    assert text.endswith("\n> deploy it\n\n")
    shown = json.loads(output("sessions", "show", waiting, "--json"))
    assert shown["summary"]["id"] == waiting
    assert shown["state"]["open"]["c1"]["permission"] == "ask"
    assert [exchange["message"] for exchange in shown["history"]] == ["deploy it"]


def test_pause_resume_and_cancel_say_what_the_session_is_then() -> None:
    one = session()
    assert output("sessions", "pause", one, "--reason", "lunch") == f"session {one} is paused\n"
    assert "paused: lunch" in output("sessions", "show", one)
    assert output("sessions", "resume", one) == f"session {one} is ready\n"
    assert output("sessions", "cancel", one) == f"session {one} is cancelled\n"
    assert isinstance(refused("sessions", "resume", one), Conflict)


def test_a_spent_budget_is_raised_by_resume() -> None:
    spent = session(SPENT)
    assert "resume it with `more`" in str(refused("sessions", "resume", spent))
    more = ["--steps", "1", "--tokens", "500", "--cost", "0.50", "--seconds", "60"]
    assert output("sessions", "resume", spent, *more) == f"session {spent} is ready\n"
    state = json.loads(output("sessions", "show", spent, "--json"))["state"]
    assert state["more"] == {"steps": 1, "tokens": 500, "cost": "0.50", "seconds": 60}


@pytest.mark.parametrize(
    ("asked", "given", "happened"),
    [
        (ASKED, ["--comment", "go"], {"kind": "tool_approved", "by": "cli", "comment": "go"}),
        (ASKED, ["--deny"], {"kind": "tool_denied", "by": "cli"}),
        (QUESTION, ["--answer", "blue"], {"kind": "person_answered", "answer": "blue"}),
    ],
)
def test_a_decision_is_taken_once(
    asked: e.ToolRequested, given: list[str], happened: dict[str, str]
) -> None:
    waiting = session(THOUGHT, asked)
    assert output("approve", waiting, "c1", *given) == f"session {waiting} is ready\n"
    event = json.loads(output("sessions", "export", waiting).splitlines()[-1])["event"]
    assert event == event | happened
    assert "c7" in str(refused("approve", waiting, "c7"))


def test_all_that_waits_is_listed_however_much_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approve, "PAGE", 2)
    waiting = [session(THOUGHT, ASKED) for _ in range(5)]
    session(SPENT)
    pending = json.loads(output("approve", "--json"))["pending"]
    assert [one["session_id"] for one in pending] == waiting[::-1]
    assert {one["request"]["call"]["id"] for one in pending} == {"c1"}
    assert len(output("approve").splitlines()) == 5


def test_a_fork_shares_the_events_so_far_and_is_of_its_own() -> None:
    one = session(THOUGHT, ASKED)
    fork = output("sessions", "fork", one, "--at", "2").strip()
    _, *rows = [json.loads(line) for line in output("sessions", "export", fork).splitlines()]
    assert [(row["seq"], row["event"]["kind"]) for row in rows] == [
        (1, "session_started"),
        (2, "user_spoke"),
    ]
    assert rows[0]["event"]["forked_from"] == f"{one}@2"
    assert rows[0]["session"] == fork
    assert isinstance(refused("sessions", "fork", one, "--at", "9"), NotFound)


def test_an_export_is_all_that_is_stored_of_a_session(database: Database) -> None:
    """Every column of every table that knows a session by its id."""
    one = session(THOUGHT, ASKED, says="Zoë\n")
    database.execute(EFFECT, [f"{one}:c1", one])
    database.execute(RECIPIENT, [one])
    database.execute(LETTER, [one])
    lines = map(json.loads, output("sessions", "export", one).splitlines())
    row, *events, effect, recipient, letter = lines
    stored = {
        "sessions": row["row"],
        "events": {"session_id": one, "data": events[1]["event"]} | events[1],
        "effects": effect["effect"],
        "recipients": recipient["recipient"],
        "dead_letters": letter["dead_letter"],
    }
    for table, column in database.execute(COLUMNS).fetchall():
        assert column in stored[str(table)], f"{table}.{column}"
    assert [event["seq"] for event in events] == [1, 2, 3, 4]
    assert events[1]["event"]["text"] == "Zoë\n"
    assert (effect["effect"]["request"], effect["effect"]["result"]) == ({"to": "Zoë"}, {"id": 7})
    rest = (row, *events, effect, recipient, letter)
    assert {line["session"] for line in rest} == {one}


def test_a_session_is_deleted_with_all_traces_and_its_forks_are_named(database: Database) -> None:
    one, other = session(THOUGHT, ASKED), session()
    fork = output("sessions", "fork", one).strip()
    for owner in (one, other):
        database.execute(EFFECT, [f"{owner}:c1", owner])
        database.execute(RECIPIENT, [owner])
        database.execute(LETTER, [owner])
    told = run("sessions", "delete", one)
    assert told.stdout == f"session {one} is deleted\n"
    assert told.stderr == f"what was said in it is also in its forks: {fork}\n"
    assert run("sessions", "delete", fork).stderr == ""
    for table, column in database.execute(COLUMNS).fetchall():
        rows = database.execute(f"SELECT {column}::text FROM {table}".encode()).fetchall()
        assert one not in str(rows), f"{table}.{column}"
    for table in ("effects", "recipients", "dead_letters"):
        left = database.execute(f"SELECT session_id::text FROM {table}".encode()).fetchall()
        assert left == [(other,)], table


def test_what_a_tool_did_while_its_session_was_deleted_is_forgotten_too(database: Database) -> None:
    one = session()
    for owner in (one, NOBODY):
        database.execute(EFFECT, [f"{owner}:c1", owner])
    assert output("cleanup").startswith("0 sessions forgotten")
    assert database.execute("SELECT session_id::text FROM effects").fetchall() == [(one,)]


@pytest.mark.factor("A5")
def test_replay_shows_each_event_and_proves_what_is_stored(database: Database) -> None:
    one = session(THOUGHT, ASKED)
    lines = output("sessions", "replay", one).splitlines()
    assert [line.split()[:3] for line in lines[:-1]] == [
        ["1", "session_started", "idle"],
        ["2", "user_spoke", "ready"],
        ["3", "model_answered", "ready"],
        ["4", "tool_requested", "waiting"],
    ]
    assert lines[-1] == ("4 events make it waiting with 42 tokens and $0.25: as it is stored")
    for tampered in ("status = 'idle'", "tokens = 41", "cost = 0"):
        broken = session(THOUGHT, ASKED)
        change = f"UPDATE sessions SET {tampered} WHERE id = %s"
        database.execute(change.encode(), [broken])
        error = refused("sessions", "replay", broken)
        assert (error.exit_code, "its events make it waiting" in str(error)) == (1, True)
    database.execute("DELETE FROM events WHERE session_id = %s AND seq = 3", [one])
    assert "has lost its event 3" in str(refused("sessions", "replay", one))


@pytest.mark.parametrize(
    "command", ["show", "pause", "resume", "cancel", "fork", "replay", "export", "delete"]
)
def test_a_session_that_does_not_exist_is_named(command: str) -> None:
    assert NOBODY in str(refused("sessions", command, NOBODY))


def test_seed_plants_a_past_once_and_only_in_an_empty_ledger(database: Database) -> None:
    assert output("seed") == "6 lines planted\n"
    for _ in range(2):
        assert output("seed") == "the deployment ledger has lines already\n"
    first = database.execute("SELECT version, environment FROM deployments ORDER BY id").fetchone()
    assert first == ("1.4.0", "staging")


def test_cleanup_forgets_what_is_old(database: Database) -> None:
    """By when it was touched last; what still has work to do is never old."""
    cancelled = e.SessionCancelled(at=NOW, by="ada")
    old, young, busy = session(cancelled), session(cancelled), session()
    for id_, days in ((old, 31), (young, 29), (busy, 31)):
        at = NOW - timedelta(days=days)
        age = "UPDATE sessions SET created_at = %s, updated_at = %s WHERE id = %s"
        database.execute(age, [NOW - timedelta(days=40), at, id_])
    assert output("cleanup") == "1 sessions forgotten, older than 30 days\n"
    assert {s["id"] for s in json.loads(output("sessions", "list", "--json"))} == {young, busy}


def test_the_report_counts_what_happened_on_the_day_and_a_fork_not_twice(
    database: Database,
) -> None:
    answered = e.AgentAnswered(at=NOW, text="hi")
    one = session(THOUGHT, ASKED)
    session(e.ModelFailed(at=NOW, error="x"), THOUGHT.model_copy(update={"calls": ()}), answered)
    old = session(THOUGHT.model_copy(update={"at": NOW - timedelta(days=2)}))
    output("sessions", "fork", one)
    told = json.loads(output("report", "--json"))
    assert told["sessions"] == {"echo": {"waiting": 1, "idle": 1, "ready": 1}}
    happened = {"user_spoke": 3, "agent_answered": 1, "model_failed": 1, "tool_requested": 1}
    assert told["events"].items() >= happened.items()
    assert (told["tokens"], told["cost"], told["waiting"]) == (84, "0.50", 2)
    earlier = f"{NOW - timedelta(days=2):%Y-%m-%d}"
    assert json.loads(output("report", "--day", earlier, "--json"))["tokens"] == 0, "it came later"
    database.execute("UPDATE sessions SET created_at = now() - interval '3 d' WHERE id = %s", [old])
    told = json.loads(output("report", "--day", earlier, "--json"))
    assert (told["tokens"], told["events"]) == (42, {"model_answered": 1})
    assert told["since"] == f"{earlier}T00:00:00Z"
    text = output("report")
    assert "\nsessions   echo " in text
    assert "model failed 1" in text
    assert "\ncost       0.50\n" in text


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (ACTIVITY, "events_pkey"),
        (STANDING, "sessions_by_status"),
        (WORK, "sessions_ready"),
        (CENSUS, "by_status"),
    ],
)
def test_what_operators_ask_has_its_index(untouched_database: str, sql: str, index: str) -> None:
    values = {"seconds": 60, "since": NOW, "until": NOW, "stalled": 600}
    with psycopg.connect(untouched_database, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(f"EXPLAIN {sql}".encode(), values).fetchall()
        assert index in str(plan), plan


def test_the_doctor_says_what_is_wrong_and_what_to_do(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    session()
    session(THOUGHT, ASKED)
    database.execute("UPDATE sessions SET updated_at = now() - interval '61 s'")
    database.execute("UPDATE sessions SET wake_at = updated_at WHERE status = 'waiting'")
    lines = output("doctor", code=1).splitlines()
    wrong = {line.split()[1]: line for line in lines if line.startswith("!!")}
    assert list(wrong) == ["worker", "scheduler", "stuck", "overdue"]
    assert f"{about().slug} work`" in wrong["worker"]
    assert f"{about().slug} schedule`" in wrong["scheduler"]
    assert "1 sessions, for over 60 s" in wrong["stuck"]
    assert [line.split()[1] for line in lines if line.startswith("ok")] == [
        "configuration",
        "model",
        "database",
        "schema",
        "broker",
        "letters",
        "paused",
        "waiting",
    ]
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@127.0.0.1:1/app")
    lines = output("doctor", code=1).splitlines()
    assert [line.split()[:2] for line in lines if "Connection refused" in line] == [
        ["!!", "database"],
        ["!!", "schema"],
        ["!!", "broker"],
    ]


def test_the_agents_are_listed_with_their_tools() -> None:
    found = json.loads(output("agents", "list", "--json"))
    assert found["echo"]["tools"] == ["act", "risk", "hang", "book", "ask_person"]
    assert "echo: Echoes.\n" in output("agents", "list")

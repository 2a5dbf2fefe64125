"""Conversations and decisions at a real terminal, and what scripts get of the same commands."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.bootstrap import running
from {{ cookiecutter.package_name }}.entrypoints.cli import cli, main
from {{ cookiecutter.package_name }}.settings import Settings

from ..conftest import SECRET
from ..processes import Process, eventually
from ..terminal import COLOUR, Screen, Terminal

Start = Callable[..., Process]
NOBODY = "00000000-0000-4000-8000-000000000009"


@pytest.fixture
def terminal(
    settings: Settings, reach: Callable[[str], dict[str, str]], tmp_path: Path
) -> Iterator[Callable[..., Terminal]]:
    with ExitStack() as ending:

        def terminal(*command: str, **environment: str) -> Terminal:
            own = {"SECRET_KEY": SECRET, "DEFAULT_AGENT": "echo"} | environment
            own |= reach(settings.database_url.get_secret_value())
            made = Terminal.running(*command, directory=tmp_path, **own)
            ending.callback(made.end)
            return made

        yield terminal


def run(*command: str, says: str = "") -> Result:
    result = CliRunner().invoke(cli, command, input=says)
    assert result.exit_code == 0, result.output or result.exception
    return result


def told(*command: str) -> Any:
    return json.loads(run(*command, "--json").stdout)


def shows(process: Process, text: str) -> None:
    eventually(lambda: text in process.output, f"{text!r} after {process.output!r}")


def waiting() -> str:
    """A session that waits for an approval, and who said so."""
    run("chat", says="risk\n")
    (pending,) = told("approve")["pending"]
    assert pending["request"]["call"]["tool"] == "risk"
    return str(pending["session_id"])


def test_a_person_talks_is_asked_in_colour_and_leaves(
    start: Start, terminal: Callable[..., Terminal]
) -> None:
    start("work").healthy()
    chat = terminal("chat").shows("\x1b[1m> \x1b[0m")
    chat.type("risk\n").shows('\x1b[33mc1 risk {"number": 1} (your approval, until ')
    chat.type("y go\n").shows("so it is: dared 1\n")
    assert "\x1b[2m· tool approved: call_id c1, by cli, comment go\x1b[0m" in chat.shown
    assert chat.shows("\x1b[1m> ", times=2).type("\x04").ended() == 0
    assert f"go on with: {about().slug} chat --session " in chat.shown


def test_who_approves_at_a_terminal_is_shown_what_and_asked(
    start: Start, terminal: Callable[..., Terminal]
) -> None:
    start("work").healthy()
    session = waiting()
    asked = terminal("approve", session, NO_COLOR="1").shows('c1 risk {"number": 1}')
    asked.shows("approve it? y, n, or why not: ").type("no, too bold\n")
    assert asked.ended() == 0
    assert f"session {session} is ready" in asked.shown
    assert not COLOUR.search(asked.shown)
    events = [json.loads(line) for line in run("sessions", "export", session).stdout.splitlines()]
    (denied,) = [v["event"] for v in events if v.get("event", {}).get("kind") == "tool_denied"]
    assert (denied["by"], denied["comment"]) == ("cli", "no, too bold")


def test_whoever_looks_on_leaves_by_ctrl_c_and_nothing_is_said_of_it(
    terminal: Callable[..., Terminal],
) -> None:
    looking = terminal("sessions", "show", _started(), "--follow", TERM="dumb").shows("> hello")
    assert looking.type("\x03").ended() == 130, looking.shown
    assert looking.shown.endswith(("> hello\n\n^C", "> hello\n\n^C\n"))


@pytest.mark.usefixtures("settings")
def test_a_script_has_to_name_what_it_decides(start: Start) -> None:
    start("work").healthy()
    session = waiting()
    told_so = CliRunner().invoke(cli, ["approve", session])
    assert (told_so.exit_code, "name the request too" in told_so.output) == (2, True)
    assert session in run("approve").stdout
    assert told("approve", session, "c1") == {"session_id": session, "status": "ready", "seq": 5}
    assert run("approve").stdout == "nothing waits for a person\n"


def test_whoever_follows_a_session_sees_what_happens_until_it_is_over(start: Start) -> None:
    web = start("serve").healthy()
    start("work").logged("worker started")
    session = web.post("/chat/sessions").json()["session_id"]
    people, programs = (
        start("sessions", "show", session, "--follow", *more) for more in ([], ["--json"])
    )
    shows(people, "status   idle")
    web.post(f"/chat/sessions/{session}/messages", {"text": "risk"})
    shows(people, "waits for c1 risk")
    web.post(f"/chat/sessions/{session}/approvals/c1", {"approved": True})
    shows(people, "so it is: dared 1")
    web.post(f"/chat/sessions/{session}/cancel")
    for process in (people, programs):
        assert process.ended() == 0, process.output
        assert process.errors[-1] == "the session is cancelled\n"
    events = [json.loads(line) for line in programs.lines if line.startswith("{")]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["kind"], events[-1]["kind"]) == ("session_started", "session_cancelled")


@pytest.mark.usefixtures("settings")
def test_a_conversation_is_a_line_an_event_to_a_program(start: Start) -> None:
    start("work").healthy()
    lines = run("chat", "--json", says="hello\n").stdout.splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert (kinds[:2], kinds[-1]) == (["session_started", "user_spoke"], "agent_answered")


@pytest.mark.usefixtures("settings")
def test_what_commands_did_is_told_to_programs(tmp_path: Path) -> None:
    session = told("sessions", "fork", _started())["session_id"]
    paused = told("sessions", "pause", session)
    assert (paused["session_id"], paused["status"]) == (session, "paused")
    assert told("sessions", "resume", session)["status"] == "ready"
    assert told("sessions", "cancel", session)["status"] == "cancelled"
    replayed = run("sessions", "replay", session, "--json")
    assert [json.loads(line)["seq"] for line in replayed.stdout.splitlines()] == [1, 2, 3, 4, 5]
    assert "as it is stored" in replayed.stderr
    assert told("sessions", "delete", session) == {"session_id": session, "forks": []}
    assert told("seed") == {"planted": 6}
    assert told("cleanup") == {"forgotten": 0, "days": 30}
    assert told("migrate", "status")["missing"] == []
    name = told("keys", "create", "ann")["name"]
    assert told("keys", "revoke", name) == {"name": "ann", "revoked": True}
    kept = told("backup", str(tmp_path / "backup"))
    assert kept["rows"]["sessions"] == 1
    assert told("agents", "list")["echo"]


def _started() -> str:
    """A session that was told something, and that nobody works on."""

    async def act() -> str:
        async with running(Settings.load(), "test") as app:
            session = await app.service.start()
            await app.service.say(session, "hello")
            return session

    return asyncio.run(act())


@pytest.mark.usefixtures("settings")
def test_a_backup_says_how_far_it_is_to_who_looks_on_and_to_nobody_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_database: str
) -> None:
    file = str(tmp_path / "backup")
    for command, verb in (("backup", "written"), ("restore", "read, ")):
        screen = Screen()
        monkeypatch.setattr("sys.argv", ["service", command, file])
        with monkeypatch.context() as here:
            here.setenv("TERM", "xterm")
            here.setattr(sys, "stderr", screen.stream)
            with pytest.raises(SystemExit) as ended:
                main()
        assert ended.value.code == 0, screen.shown()
        shown = screen.shown()
        assert f" MB {verb}" in shown
        assert shown.rpartition("\r\x1b[K")[2].count("\n") == 1, "that line is gone"
        assert " MB " not in run("backup", file).output
        monkeypatch.setenv("DATABASE_URL", empty_database)

"""The management commands, as far as they need no database."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar, get_args

import pytest
from typer.testing import CliRunner, Result

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.entrypoints.cli import cli
from {{ cookiecutter.package_name }}.entrypoints.commands.chat import verdict
from {{ cookiecutter.package_name }}.entrypoints.commands.conversation import Conversation
from {{ cookiecutter.package_name }}.entrypoints.commands.story import asked, plain, told
from {{ cookiecutter.package_name }}.entrypoints.terminal import ERASE
from {{ cookiecutter.package_name }}.errors import NotFound, Unavailable
from {{ cookiecutter.package_name }}.service import Service

from ..fakes import FakeLive, FakeProcesses, FakeQueue, FakeSessions, upkeep_of
from ..processes import PACKAGE

T = TypeVar("T")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SESSION = "00000000-0000-4000-8000-000000000001"
CALL = e.Call(id="c1", tool="deploy", arguments={"version": "1.4.2\x1b[2J", "to": "Zürich"})
ASKS = e.ToolRequested(at=NOW, call=CALL, permission="ask", reason="it is big", expires_at=NOW)
RUNS = ASKS.model_copy(update={"permission": "auto"})
USAGE = e.Usage(input_tokens=3, output_tokens=4)
SAYS = e.ModelAnswered(at=NOW, seen=2, model="m", text="hello there", usage=USAGE)
EVENTS: list[e.AnyEvent] = [
    e.SessionStarted(at=NOW, agent="a", prompt="v1", forked_from="x@3"),
    e.UserSpoke(at=NOW, text="two\nlines"),
    e.FactsFetched(at=NOW, facts={"now": "", "running": {}}),
    SAYS.model_copy(update={"calls": (CALL,)}),
    e.ModelFailed(at=NOW, error="no answer"),
    ASKS,
    e.ToolRefused(at=NOW, call_id="c1", error="no tool"),
    e.ToolApproved(at=NOW, call_id="c1", by="ada", comment="go"),
    e.ToolDenied(at=NOW, call_id="c1", by="ada", comment="wait"),
    e.PersonAnswered(at=NOW, call_id="c1", by="ada", answer="blue"),
    e.DecisionTimedOut(at=NOW, call_id="c1"),
    e.ToolStarted(at=NOW, call_id="c1"),
    e.ToolReturned(at=NOW, call_id="c1", result={"id": 7}),
    e.ToolFailed(at=NOW, call_id="c1", error="broken"),
    e.PlanMade(at=NOW, tasks=(e.Task(id="t1", title="look"), e.Task(id="t2", title="go"))),
    e.Reflected(at=NOW, text="good"),
    e.AgentAnswered(at=NOW, text="done"),
    e.ContextCompacted(at=NOW, summary="before", keep=2, state={}),
    e.SessionPaused(at=NOW, reason="asked by ada"),
    e.SessionResumed(at=NOW, by="ada", more=e.Budget(tokens=500)),
    e.SessionCancelled(at=NOW, by="ada", reason="enough"),
    e.SessionFailed(at=NOW, reason="poison"),
]


def run(*command: str) -> Result:
    return CliRunner().invoke(cli, command)


def test_help_is_quick_since_nothing_heavy_is_imported_for_it() -> None:
    seen = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", PACKAGE, "sessions", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in seen.stderr.splitlines()}
    assert {"typer", f"{PACKAGE}.entrypoints.commands.sessions"} <= imported
    heavy = {"psycopg", "celery", "kombu", "genai_prices", f"{PACKAGE}.bootstrap"}
    assert not heavy & imported


def test_every_kind_of_event_is_told_in_one_line() -> None:
    kinds = {event.model_fields["kind"].default for event in get_args(get_args(e.AnyEvent)[0])}
    assert {event.kind for event in EVENTS} == kinds
    for event in EVENTS:
        text = told(event)
        assert text.isprintable()
        assert len(text) <= 160


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "agent a, prompt v1, forked_from x@3"),
        (1, "two lines"),
        (3, "think, m, 7 tokens: hello there c1 deploy"),
        (5, "waits for a person it is big"),
        (7, "call_id c1, by ada, comment go"),
        (12, 'c1: {"id": 7}'),
        (14, "[ ] t1: look, [ ] t2: go"),
        (19, 'by ada, more {"tokens": 500}'),
    ],
)
def test_what_is_told_of_an_event_is_what_matters(number: int, words: str) -> None:
    assert words in told(EVENTS[number])


def test_a_person_is_asked_with_the_exact_arguments_and_no_escape_reaches_the_terminal() -> None:
    (request,) = Thread.of("x", [ASKS]).session.pending
    assert asked(request) == (
        'c1 deploy {"to": "Zürich", "version": "1.4.2\\u001b[2J"} '
        "(your approval, until 2026-01-02 03:04 UTC): it is big"
    )
    assert plain("a\x1b[2Jb\u202ec\x9bd\r") == "a\\x1b[2Jb\\u202ec\\x9bd\\r"
    assert plain(several := "Zürich 東京\n\tनमस्\u200dते") == several


def test_nothing_but_yes_approves() -> None:
    assert verdict("y") == verdict("YES ") | {"comment": ""} == {"approved": True, "comment": ""}
    assert verdict("yes on Tuesday") == {"approved": True, "comment": "on Tuesday"}
    assert verdict("n too big") == {"approved": False, "comment": "too big"}
    for text in ("yesterday was better", "yes, but", "why?"):
        assert verdict(text) == {"approved": False, "comment": text}


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (["sessions", "show", "nonsense"], "nonsense"),
        (["sessions", "list", "--status", "asleep"], "asleep"),
        (["sessions", "resume", SESSION, "--cost", "much"], "much"),
        (["sessions", "resume", SESSION, "--tokens", "-1"], "-1"),
        (["sessions", "fork", SESSION, "--at", "0"], "--at"),
        (["approve", SESSION, "c1", "--deny", "--answer", "x"], "--answer"),
        (["chat", "--session", SESSION, "--agent", "a"], "--agent"),
        (["report", "--day", "yesterday"], "yesterday"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_names_it(command: list[str], fault: str) -> None:
    result = run(*command)
    assert result.exit_code == 2, result.output
    assert fault in result.output


def test_a_new_agent_is_written_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src" / PACKAGE / "agents").mkdir(parents=True)
    result = run("agents", "new", "billing")
    assert result.exit_code == 0, result.output
    assert "DEFAULT_AGENT=billing MODEL=scripted:billing make up" in result.stderr
    files = list(map(Path, result.stdout.splitlines()))
    assert tmp_path / "src" / PACKAGE / "agents" / "billing" / "__init__.py" in files
    assert all(file.is_file() for file in files)


class World:
    """A service in memory, and one who talks with it."""

    def __init__(self, *, patient: bool = True) -> None:
        self.sessions, self.live = FakeSessions(), FakeLive()
        self.processes = FakeProcesses()
        self.service = Service(
            sessions=self.sessions,
            queue=FakeQueue(),
            live=self.live,
            agents={"a": Agent(name="a", description="", prompts={"v1": ""})},
            clock=lambda: NOW,
        )
        upkeep = upkeep_of(self.service, processes=self.processes)
        self.talk = Conversation(upkeep, patient=patient, silence=0)

    async def happens(self, *news: e.AnyEvent | str) -> None:
        """As a worker tells it: events to the store, text as it comes."""
        for new in news:
            if isinstance(new, str):
                self.live.token(self.talk.id, new)
            else:
                thread = self.sessions.threads[self.talk.id]
                assert await self.sessions.append(thread, new)
                self.live.tell(self.talk.id, thread.seq + 1)

    async def hears(self, *news: e.AnyEvent | str) -> Thread:
        """What one who follows has at the end, where this happens meanwhile."""
        following = asyncio.create_task(self.talk.follow())
        (watch,) = await until(lambda: self.live.watches.get(self.talk.id))
        for new in news:
            await self.happens(new)
            await until(lambda: following.done() or watch.queue.empty())
        return await following


async def until(condition: Callable[[], T | None]) -> T:
    """What the condition gives, once the event loop has turned often enough."""
    async with asyncio.timeout(5):
        while not (value := condition()):  # noqa: ASYNC110 - it is no event of ours
            await asyncio.sleep(0)
        return value


def play(act: Callable[[World], Coroutine[Any, Any, None]], *, patient: bool = True) -> None:
    asyncio.run(act(World(patient=patient)))


def test_what_streams_is_shown_once_and_what_got_lost_is_shown_after_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def act(world: World) -> None:
        await world.talk.begin(None, "a")
        await world.talk.say("hi")
        await world.hears("hello", " there", SAYS, e.AgentAnswered(at=NOW, text=SAYS.text))
        assert capsys.readouterr() == ("hello there\n", "")
        await world.talk.say("hi")
        again = SAYS.model_copy(update={"seen": 5})
        await world.hears(" there", again, e.AgentAnswered(at=NOW, text=SAYS.text))
        assert capsys.readouterr() == (" there\nhello there\n", "")
        await world.talk.say("hi")
        end = e.AgentAnswered(at=NOW, text="It is done.", done=True)
        await world.hears(again.model_copy(update={"seen": 8, "text": ""}), end)
        assert capsys.readouterr() == ("It is done.\n", "")

    play(act)


def test_what_happens_meanwhile_is_noted_and_a_decision_stops_for_the_person(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def act(world: World) -> None:
        await world.talk.begin(None, None)
        await world.talk.say("deploy it")
        thread = await world.hears("I have", " to", SAYS, ASKS)
        assert [request.call for request in thread.session.pending] == [CALL]
        capsys.readouterr()
        await world.talk.decide("c1", approved=True, comment="go")
        await world.service.say(world.talk.id, "from elsewhere")
        failed = e.ToolFailed(at=NOW, call_id="c1", error="no such version")
        thought = SAYS.model_copy(update={"seen": 8, "text": "Sorry."})
        await world.hears(failed, thought, e.AgentAnswered(at=NOW, text="Sorry."))
        out, err = capsys.readouterr()
        assert out == "Sorry.\n"
        assert err.splitlines() == [
            "· tool approved: call_id c1, by cli, comment go",
            "· user spoke: from elsewhere",
            "· tool failed: call_id c1, error no such version",
        ]

    play(act)


class Tty(StringIO):
    def isatty(self) -> bool:
        return True


def test_while_nothing_comes_a_terminal_says_what_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{PACKAGE}.entrypoints.commands.conversation.LOOK_SECONDS", 0.01)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", shown := Tty())

    async def act(world: World) -> None:
        world.processes.living = [{"kind": "worker", "name": "host:1"}]
        await world.talk.begin(None, None)
        await world.talk.say("hi")
        following = asyncio.create_task(world.talk.follow())
        await until(lambda: "thinking… 0 s" in shown.getvalue())
        thought = SAYS.model_copy(update={"calls": (CALL,)})
        await world.happens(thought, RUNS, e.ToolStarted(at=NOW, call_id="c1"))
        await until(lambda: "deploy… " in shown.getvalue())
        again = SAYS.model_copy(update={"seen": 6})
        returned = e.ToolReturned(at=NOW, call_id="c1", result=1)
        await world.happens(returned, again, e.AgentAnswered(at=NOW, text=SAYS.text))
        await following
        assert "… " not in shown.getvalue().rpartition(ERASE)[2]

    play(act)


def test_whoever_comes_back_sees_what_was_said_last(capsys: pytest.CaptureFixture[str]) -> None:
    async def act(world: World) -> None:
        await world.talk.begin(None, None)
        await world.talk.say("first")
        await world.happens(SAYS, e.AgentAnswered(at=NOW, text="one"))
        await world.talk.say("second")
        thought = SAYS.model_copy(update={"seen": 5})
        await world.happens(thought, RUNS)
        back = Conversation(upkeep_of(world.service), patient=True)
        await back.begin(world.talk.id, None)
        assert capsys.readouterr().out == "> second\n\n"
        await world.happens(e.ToolReturned(at=NOW, call_id="c1", result=1))
        assert (await world.service.thread(back.id)).session.status == "ready"
        with pytest.raises(NotFound):
            await back.begin(SESSION, None)

    play(act)


def test_without_a_worker_the_patient_are_told_and_wait(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{PACKAGE}.entrypoints.commands.conversation.LOOK_SECONDS", 0.01)

    async def act(world: World) -> None:
        await world.talk.begin(None, None)
        await world.talk.say("hi")
        following = asyncio.create_task(world.talk.follow())
        noted = await until(lambda: capsys.readouterr().err)
        assert noted.startswith(f"no worker is alive to answer: start one with `{about().slug} up`")
        assert noted.count("\n") == 1
        await world.happens(SAYS, e.AgentAnswered(at=NOW, text=SAYS.text))
        await following
        assert capsys.readouterr() == ("hello there\n", "")

    play(act)


def test_without_a_worker_a_script_fails_and_the_message_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{PACKAGE}.entrypoints.commands.conversation.LOOK_SECONDS", 0.01)

    async def act(world: World) -> None:
        await world.talk.begin(None, None)
        await world.talk.say("hi")
        with pytest.raises(Unavailable, match=r"no worker is alive .* the message is kept"):
            await world.talk.follow()
        world.processes.living = [{"kind": "worker", "name": "host:1"}]
        await world.hears(SAYS, e.AgentAnswered(at=NOW, text=SAYS.text))

    play(act, patient=False)

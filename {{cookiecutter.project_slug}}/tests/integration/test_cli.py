"""Commands that reach the backing services."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from {{ cookiecutter.package_name }}.entrypoints.cli import cli
from {{ cookiecutter.package_name }}.errors import Unavailable
from {{ cookiecutter.package_name }}.settings import Settings

from ..processes import Process


def run(*command: str, says: str = "") -> Result:
    return CliRunner().invoke(cli, command, input=says)


def test_check_asks_every_part(start: Callable[..., Process]) -> None:
    start("work").healthy()
    process = start("check")
    assert process.ended() == 0, process.output
    assert [line.split()[:2] for line in process.lines] == [
        ["database", "ok"],
        ["schema", "ok"],
        ["broker", "ok"],
        ["worker", "ok,"],
    ]


@pytest.mark.usefixtures("settings")
def test_a_conversation_streams_asks_and_says_how_to_go_on(start: Callable[..., Process]) -> None:
    start("work").healthy()
    told = run("chat", says="hello you\n\nrisk\nyes go ahead\n")
    assert told.exit_code == 0, told.exception
    assert told.stdout.splitlines() == ["I hear: hello you", "so it is: dared 1"]
    asked, approved, returned, *_, last = told.stderr.splitlines()
    assert asked.startswith('c1 risk {"number": 1} (your approval, until ')
    assert approved == "· tool approved: call_id c1, by cli, comment go ahead"
    assert returned == "· tool returned: c1: dared 1"
    session = last.rpartition(" ")[2]
    run("sessions", "cancel", session)
    back = run("chat", "--session", session)
    assert back.stdout == "> risk\nso it is: dared 1\n"
    assert f"sessions fork {session}`" in str(back.exception)


@pytest.mark.usefixtures("settings")
def test_check_without_a_worker_fails_in_time() -> None:
    error = run("check", "--timeout", "0").exception
    assert isinstance(error, Unavailable)
    assert str(error) == "no worker showed a sign of life within 0 s"


@pytest.mark.usefixtures("settings")
def test_check_says_which_service_is_away_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "redis://127.0.0.1:1/0")
    result = run("check")
    assert isinstance(result.exception, Unavailable)
    database, schema, broker = result.output.splitlines()
    assert (database, schema) == ("database  ok", "schema    ok")
    assert broker.startswith("broker    the broker does not answer (BROKER_URL): ")
    assert "Connection refused" in broker


@pytest.mark.factor("XII")
def test_the_shell_has_the_service_at_hand(settings: Settings) -> None:
    result = run("shell", says="print(sorted(run(upkeep.faults())))\n")
    assert "['broker', 'database', 'schema']" in result.stdout
    assert result.exit_code == 0

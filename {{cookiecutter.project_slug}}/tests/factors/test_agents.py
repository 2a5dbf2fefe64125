"""A10: deterministic code calls a focused agent at a decision point, and obeys its decision."""

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.entrypoints.commands.decide import REFUSED, UNDECIDED

from ..processes import Process, eventually

Start = Callable[..., Process]
GATE = {"MODEL": "scripted:gate"}
ASK = ("decide", "1.4.2", "--agent", "gate", "--key", "run 7", "--json")


def asked(pipeline: Process) -> str:
    """The session, once it waits for a person."""

    def waiting() -> str | None:
        found = [line.split("`")[1].split() for line in pipeline.lines if "waits for c1" in line]
        return found[0][-2] if found else None

    return eventually(waiting, f"a person is asked; it said:\n{pipeline.output}")


def decision(pipeline: Process) -> dict[str, Any]:
    """What the pipeline reads: the last of what is printed."""
    told: dict[str, Any] = json.loads(pipeline.output[pipeline.output.index("{\n") :])
    return told


@pytest.mark.factor("A10")
def test_a_pipeline_goes_on_once_a_person_has_approved_whoever_dies_meanwhile(start: Start) -> None:
    worker = start("work", **GATE).healthy()
    pipeline = start(*ASK, "--wait", "--timeout", "60")
    session = asked(pipeline)
    worker.signal(signal.SIGKILL)
    start("work", **GATE).healthy()
    start("schedule").healthy()
    assert start("approve", session, "c1", "--comment", "go").ended() == 0
    assert pipeline.ended() == 0, pipeline.output
    assert decision(pipeline) == {
        "verdict": "approved",
        "version": "1.4.2",
        "session": session,
        "answer": "so it is: 1.4.2 may go on",
        "decided_by": ["cli"],
        "waits_for": [],
    }


@pytest.mark.factor("A10")
def test_a_pipeline_stops_where_a_person_denies(start: Start) -> None:
    start("work", **GATE).healthy()
    pipeline = start(*ASK, "--wait", "--timeout", "60")
    session = asked(pipeline)
    assert start("approve", session, "c1", "--deny", "--comment", "not on a Friday").ended() == 0
    assert pipeline.ended() == REFUSED, pipeline.output
    told = decision(pipeline)
    assert (told["verdict"], told["decided_by"]) == ("refused", ["cli"])
    assert "not on a Friday" in told["answer"]
    again = start(*ASK)
    assert again.ended() == REFUSED, "a repeated step asks nobody anew"
    assert decision(again) == told


@pytest.mark.factor("A10")
def test_the_agent_refuses_by_itself_and_an_approval_is_not_yet_a_permission(start: Start) -> None:
    start("work", **GATE).healthy()
    broken = start("decide", "1.4.2-broken", "--wait", "--timeout", "60")
    assert broken.ended() == REFUSED, broken.output
    assert broken.lines[-1] == "1.4.2-broken may not go on: it is broken.\n"
    cursed = start("decide", "1.4.2-cursed", "--agent", "gate", "--wait", "--timeout", "60")
    assert start("approve", asked(cursed), "c1").ended() == 0
    assert cursed.ended() == REFUSED, cursed.output


@pytest.mark.factor("A10")
def test_what_nobody_has_decided_in_time_is_undecided_and_goes_on_later(start: Start) -> None:
    start("work", **GATE).healthy()
    session = asked(hasty := start(*ASK, "--wait", "--timeout", "3"))
    assert hasty.ended() == UNDECIDED
    told = decision(hasty)
    assert told["verdict"] == "undecided"
    assert told["waits_for"][0].startswith('c1 allow_in_production {"version": "1.4.2"}')
    assert start("approve", session, "c1").ended() == 0
    later = start(*ASK, "--wait", "--timeout", "60")
    assert later.ended() == 0, later.output
    assert decision(later)["session"] == session

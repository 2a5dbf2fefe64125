"""What a pipeline is told goes by what was called and came back, whatever was said."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.session import Thread
from {{ cookiecutter.package_name }}.entrypoints.commands.decide import ALLOW, judge
from {{ cookiecutter.package_name }}.errors import AppError

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BEGAN = e.SessionStarted(at=NOW, agent="gate", prompt="v1")
SPOKE = e.UserSpoke(at=NOW, text="may 1.4.2 go to production?", by="pipeline")


def thought(*calls: e.Call, seen: int = 2) -> e.ModelAnswered:
    return e.ModelAnswered(at=NOW, seen=seen, model="m", calls=calls, usage=e.Usage())


def asked(tool: str = ALLOW, version: str = "1.4.2") -> Sequence[e.AnyEvent]:
    call = e.Call(id="c1", tool=tool, arguments={"version": version})
    return thought(call), e.ToolRequested(at=NOW, call=call, permission="ask", seen=2)


APPROVED = e.ToolApproved(at=NOW, call_id="c1", by="ann")
DENIED = e.ToolDenied(at=NOW, call_id="c1", by="ann", comment="no")
RETURNED = e.ToolReturned(at=NOW, call_id="c1", result="it may")
FAILED = e.ToolFailed(at=NOW, call_id="c1", error="not in staging")
YES = thought(seen=9), e.AgentAnswered(at=NOW, text="yes, it may go to production: approved")
CANCELLED = e.SessionCancelled(at=NOW, by="ann")
PAUSED = e.SessionPaused(at=NOW, reason="the budget is spent", spent=True)
CASES: dict[str, tuple[Sequence[e.AnyEvent], str]] = {
    "nothing yet": ((), "undecided"),
    "a person is asked": (asked(), "undecided"),
    "approved, not run": ((*asked(), APPROVED), "undecided"),
    "approved and returned": ((*asked(), APPROVED, RETURNED), "approved"),
    "and answered": ((*asked(), APPROVED, RETURNED, *YES), "approved"),
    "denied": ((*asked(), DENIED, *YES), "refused"),
    "approved, and the tool refused": ((*asked(), APPROVED, FAILED, *YES), "refused"),
    "only said": (YES, "refused"),
    "for another version": ((*asked(version="1.4.1"), APPROVED, RETURNED, *YES), "refused"),
    "another tool": ((*asked(tool="deploy"), APPROVED, RETURNED, *YES), "refused"),
    "cancelled": ((*asked(), CANCELLED), "refused"),
    "paused": ((PAUSED,), "undecided"),
}


@pytest.mark.parametrize(("events", "verdict"), CASES.values(), ids=CASES)
def test_only_a_call_for_this_version_that_came_back_lets_it_go_on(
    events: Sequence[e.AnyEvent], verdict: str
) -> None:
    happened: list[e.AnyEvent] = [BEGAN, SPOKE, *events]
    decision = judge(Thread.of("s", happened), happened, version="1.4.2")
    assert decision.verdict == verdict
    assert decision.waits_for == () or verdict == "undecided"


def test_a_session_that_failed_has_decided_nothing() -> None:
    happened: list[e.AnyEvent] = [BEGAN, SPOKE, e.SessionFailed(at=NOW, reason="its worker died")]
    with pytest.raises(AppError, match="nothing is decided"):
        judge(Thread.of("s", happened), happened, version="1.4.2")

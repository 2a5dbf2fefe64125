"""Whether anything was lost or done twice, session by session, when the storm is over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .witness import Witness

TOLD = """SELECT s.id::text, s.status,
    array(SELECT e.seq FROM events e WHERE e.session_id = s.id ORDER BY e.seq),
    array(SELECT e.data FROM events e WHERE e.session_id = s.id ORDER BY e.seq),
    coalesce(lines, '{}')
FROM sessions s LEFT JOIN (SELECT split_part(commit, ':', 1) AS id, array_agg(version) AS lines
    FROM deployments GROUP BY 1) d ON d.id = s.id::text"""
DOUBLED = """SELECT coalesce(sum(number - 1), 0)::int FROM (SELECT count(*) AS number
    FROM deployments GROUP BY split_part(commit, ':', 1), version) lines"""
"""Lines of the ledger beyond one for each session and step."""
ENDS = ("tool_returned", "tool_failed", "tool_denied")


@dataclass(frozen=True)
class Told:
    """A session as its rows tell it."""

    id: str
    status: str
    places: list[int]
    events: list[dict[str, Any]]
    lines: list[str]
    """The versions that it wrote into the ledger."""

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] in kinds]

    def faults(self, *, steps: int) -> Iterator[str]:
        """Why it counts as lost, if it does."""
        if self.status != "idle":
            yield f"it is {self.status}"
        if self.places != list(range(1, len(self.events) + 1)):
            yield f"its events are {self.places}"
        if not self.events or self.events[-1]["kind"] != "agent_answered":
            yield "it has no answer"
        requested = [event["call"]["id"] for event in self.of("tool_requested")]
        ended = [event["call_id"] for event in self.of(*ENDS)]
        if sorted(requested) != sorted(set(ended)) or len(requested) != len(ended):
            yield f"its calls {requested} ended as {ended}"
        left = [event["result"]["left"] for event in self.of("tool_returned")]
        if left != list(reversed(range(steps))):
            yield f"its steps left {left}"
        if (distinct := len(set(self.lines))) != steps:
            yield f"the ledger has lines of {distinct} of its steps"


@dataclass(frozen=True)
class Audit:
    lost: list[str]
    doubled: int
    repeats: int
    """Acts that were done again, and that their key made harmless."""
    said_twice: int
    failed: int
    """Calls that ended in an error, which the model then saw."""
    strays: int
    """Sessions that were started by a request whose answer never came."""


def audit(witness: Witness, sessions: Sequence[str], *, steps: int) -> Audit:
    """The sessions are those that the clients know of."""
    told = {row[0]: Told(*row) for row in witness.rows(TOLD)}
    ours = [told[session] for session in sessions if session in told]
    lost = [f"session {session}: it is gone" for session in sessions if session not in told]
    faults = {session.id: ", ".join(session.faults(steps=steps)) for session in ours}
    lost += [f"session {session}: {why}" for session, why in faults.items() if why]
    return Audit(
        lost=lost,
        doubled=witness.one(DOUBLED),
        repeats=witness.one("SELECT count(*) FROM repeats"),
        said_twice=sum(len(session.of("user_spoke")) - 1 for session in ours),
        failed=sum(len(session.of("tool_failed")) for session in ours),
        strays=len(told) - len(ours),
    )

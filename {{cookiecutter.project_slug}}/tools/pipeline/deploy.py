"""A release in an environment: begun, rolled out, recorded; or gone back from, and that recorded.

The ledger is the environment's own, written by its own command line. Production's is told of
staging before its agent is asked: it decides by what has run there.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .facts import Candidate, Place, Run

Call = Callable[[Sequence[str]], int]
"""Runs a command, lets it speak for itself, and gives its exit code."""
APPROVED, REFUSED, UNDECIDED = 0, 3, 4
PAUSE = 10.0
NOT_BEGUN = 2
"""What `tools.rollout` ends with where it refuses before it has done anything."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    service: str
    place: Place
    run: Run
    call: Call
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def deploy(self, made: Candidate) -> int:
        """0 once it runs there; what fails is gone back from at once."""
        self._record(made, "started")  # the first of all has nobody yet who could write it down
        code = self._rollout("release", made.image)
        if code == 0:
            return self._record(made, "succeeded")
        self._record(made, "failed")
        if code != NOT_BEGUN:
            self.undo(made)
        return 1

    def undo(self, made: Candidate) -> int:
        """Back to what ran before it; the ledger says so once it is true."""
        if code := self._rollout("rollback", "--from", made.release):
            return code
        gone = ("record", self.place.name, made.version, "--outcome", "rolled-back")
        return self._service("release", *gone, "--by", self.run.by)

    def decide(self, made: Candidate, *, after: Place, seconds: int) -> int:
        """The agent's answer there, asked once however often the line breaks: hours are long."""
        if code := self._record(made, "succeeded", place=after):
            return code
        key = self.run.id or made.image
        until = self.clock() + seconds
        while True:
            left = str(max(0, round(until - self.clock())))
            code = self._service("decide", made.version, "--wait", "--timeout", left, "--key", key)
            if code in {APPROVED, REFUSED, UNDECIDED} or self.clock() >= until:
                return code
            self.sleep(PAUSE)

    def _record(self, made: Candidate, outcome: str, *, place: Place | None = None) -> int:
        where = place or self.place
        facts = {
            "image": made.image,
            "commit": made.commit,
            "committed-at": made.committed_at,
            "config": where.config,
            "by": self.run.by,
            "outcome": outcome,
        }
        if self.run.id:  # what has failed and is tried again is another deployment
            which = self.run.id if place else f"{self.run.id}-{self.run.attempt}"
            facts["key"] = f"{which}:{where.name}"
        given = (word for name, value in facts.items() for word in (f"--{name}", value))
        return self._service("release", "record", where.name, made.version, *given)

    def _rollout(self, *what: str) -> int:
        verb, *rest = what
        return self.call((sys.executable, "-m", "tools.rollout", verb, self.place.name, *rest))

    def _service(self, *command: str) -> int:
        """The service's own command, in a process of that environment that serves nobody."""
        there = ("--context", self.place.context, "--namespace", self.place.namespace)
        inside = ("exec", "deploy/scheduler", "--", self.service)
        return self.call(("kubectl", *there, *inside, *command))

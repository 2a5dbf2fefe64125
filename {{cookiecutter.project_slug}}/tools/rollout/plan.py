"""A plan is steps as data: what each does, what it waits for, and how a person does it by hand."""

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from . import Object
from .cluster import Cluster, key


@dataclass(frozen=True)
class Condition:
    """What is to be seen on some objects of the cluster."""

    of: tuple[str, ...]
    says: str
    holds: Callable[[Cluster], bool]
    never: Callable[[Cluster], str] = lambda _: ""
    """Why it can't come about any more."""
    by_hand: tuple[str, ...] = ()
    """The arguments of a kubectl that waits for the same."""


@dataclass(frozen=True)
class Step:
    name: str
    does: str
    arguments: tuple[str, ...] = ()
    stdin: str = ""
    given: str = ""
    """What stdin is, in words."""
    done: Condition | None = None
    """Where it holds as the plan is made, the step is left out."""
    needs: Condition | None = None
    until: Condition | None = None
    hold: int = 0
    """So many seconds on end it has to hold."""
    seconds: int = 60


@dataclass(frozen=True)
class Plan:
    title: str
    steps: tuple[Step, ...]
    again: str
    """The command that goes on after a failure."""
    back: str = ""
    """The command that goes back instead, where there is something to go back to."""

    def printed(self, kubectl: str, *, is_script: bool = False) -> Iterator[str]:
        """To read; or as a shell script, with all that kubectl is given."""
        yield from ("#!/bin/sh", "set -eu") if is_script else ()
        yield f"# {self.title}"
        yield "k() { " + kubectl + ' "$@"; }'
        for number, step in enumerate(self.steps, 1):
            yield f"# {number}. {step.name}: {step.does}"
            yield from by_hand(step, is_script=is_script)


def by_hand(step: Step, *, is_script: bool) -> Iterator[str]:
    """A script may come by a pipe, and what is given nothing must not read the rest of it."""
    nothing = " </dev/null" if is_script else ""
    if step.needs:
        yield f"#    only if {step.needs.says}"
    if step.arguments:
        given = " <<'EOF'" if step.stdin and is_script else nothing
        yield f"k {shlex.join(step.arguments)}{given}"
    if step.stdin:
        yield from (step.stdin.rstrip(), "EOF") if is_script else (f"#    given {step.given}",)
    if step.until:
        yield f"#    until {step.until.says}, {step.seconds} s at most"
    if step.hold:
        yield f"sleep {step.hold}"
    elif step.until:
        yield f"k {shlex.join(step.until.by_hand)} --timeout={step.seconds}s{nothing}"


def apply(name: str, does: str, *objects: Object, **how: Any) -> Step:
    """A step that makes these objects what they should be: in JSON, where 0891234 stays a text."""
    text = "".join(f"---\n{json.dumps(thing, indent=2)}\n" for thing in objects)
    given = ", ".join(map(key, objects))
    return Step(name, does, ("apply", "--filename=-"), text, given, **how)


def patch(name: str, does: str, thing: str, change: Object, *options: str, **how: Any) -> Step:
    arguments = ("patch", thing, *options, "--type=merge", f"--patch={json.dumps(change)}")
    return Step(name, does, arguments, **how)

"""The tools of the loop's own. What they do is an event: no code runs behind them."""

from typing import Annotated

from pydantic import Field

from .events import Task
from .tools import ToolError, tool

PLAN = "First make the plan, or revise it: call `plan` with all of its tasks."
REFLECT = (
    "Before you go on: did the last step bring what it should, is the plan still right, "
    "and what comes next? Answer in two sentences, without a tool."
)


@tool(permission="answer")
def ask_person(
    question: Annotated[str, Field(description="What you need to know, with all that matters.")],
) -> None:
    """Ask the people in charge a question and wait for the answer, which may take days."""


@tool
def finish(
    answer: Annotated[str, Field(description="What the user is told.")],
    confidence: Annotated[float, Field(ge=0, le=1, description="How sure you are: 0 to 1.")] = 1.0,
) -> None:
    """Say that the goal is reached, and what came of it. Call no other tool with it."""


@tool
def plan(tasks: Annotated[list[Task], Field(min_length=1, max_length=20)]) -> None:
    """Set the whole task list: what is to do, what comes after what, what is done."""


def check_order(tasks: tuple[Task, ...]) -> None:
    """A ToolError where a plan can't be followed."""
    ids = [task.id for task in tasks]
    if len(set(ids)) < len(ids):
        raise ToolError("two tasks have the same id")
    if unknown := {name for task in tasks for name in task.after} - set(ids):
        raise ToolError(f"tasks wait for {', '.join(sorted(unknown))}, which is no task")
    done: set[str] = set()
    while ready := [t.id for t in tasks if t.id not in done and set(t.after) <= done]:
        done.update(ready)
    if len(done) < len(ids):
        raise ToolError(f"tasks wait for each other: {', '.join(sorted(set(ids) - done))}")


def outline(tasks: tuple[Task, ...]) -> str:
    signs = {"open": " ", "done": "x", "dropped": "-"}
    lines = (
        f"[{signs[task.status]}] {task.id}: {task.title}"
        + (f" (after {', '.join(task.after)})" if task.after else "")
        for task in tasks
    )
    return "\n".join(lines)

"""Plans: a list of tasks with what each waits for, made before acting and revised on the way."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from .events import Task
from .tools import Tool, ToolError

PLAN = "First make the plan, or revise it: call `plan` with all of its tasks."
REFLECT = (
    "Before you go on: did the last step bring what it should, is the plan still right, "
    "and what comes next? Answer in two sentences, without a tool."
)


class Plan(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tasks: Annotated[list[Task], Field(min_length=1, max_length=20)]


def _never(**_: object) -> None:
    raise ToolError("the loop keeps the plan itself")


PLAN_TOOL = Tool(
    name="plan",
    description="Set the whole task list: what is to do, what comes after what, what is done.",
    arguments=Plan,
    run=_never,
)


def plan(arguments: dict[str, object]) -> tuple[Task, ...]:
    """The plan, if it can be followed."""
    tasks = Plan.model_validate(arguments).tasks
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
    return tuple(tasks)


def outline(tasks: tuple[Task, ...]) -> str:
    signs = {"open": " ", "done": "x", "dropped": "-"}
    lines = (
        f"[{signs[task.status]}] {task.id}: {task.title}"
        + (f" (after {', '.join(task.after)})" if task.after else "")
        for task in tasks
    )
    return "\n".join(lines)

"""Planning and reflection: on or off, and never a plan that can't be followed."""

from pathlib import Path
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.agent import events as e
from {{ cookiecutter.package_name }}.agent.own import PLAN, REFLECT, check_order, outline, plan
from {{ cookiecutter.package_name }}.agent.ports import Replied
from {{ cookiecutter.package_name }}.agent.prompts import choose, read_prompts
from {{ cookiecutter.package_name }}.agent.tools import ToolError

from .core import NOW, Player, look, make_agent, wants

FIRST: dict[str, Any] = {"id": "a", "title": "look"}
THEN: dict[str, Any] = {"id": "b", "title": "tell", "after": ["a"]}
MADE = wants(("plan", {"tasks": [FIRST, THEN]}))
LOOK = wants(("look", {}))


def task(id_: str, *after: str) -> dict[str, Any]:
    return {"id": id_, "title": f"do {id_}", "after": after}


@pytest.mark.parametrize(
    ("tasks", "fault"),
    [
        ([task("a"), task("a")], "two tasks have the same id"),
        ([task("a", "x", "b"), task("b", "y")], "tasks wait for x, y, which is no task"),
        ([task("a", "a")], "tasks wait for each other: a"),
        ([task("a"), task("b", "c", "a"), task("c", "b")], "tasks wait for each other: b, c"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(tasks: list[Any], fault: str) -> None:
    with pytest.raises(ToolError, match=f"^{fault}$"):
        check_order(e.PlanMade(at=NOW, **plan.check({"tasks": tasks})).tasks)


def test_a_plan_has_some_tasks_but_not_too_many() -> None:
    for count in (0, 21):
        with pytest.raises(ToolError, match="tasks: List should have at"):
            plan.check({"tasks": [task(f"t{n}") for n in range(count)]})


def test_a_plan_is_shown_with_its_order_and_what_is_done() -> None:
    tasks = (
        e.Task(id="a", title="look", status="done"),
        e.Task(id="b", title="tell", after=("a",)),
        e.Task(id="c", title="dance", status="dropped"),
    )
    check_order(tasks)
    assert outline(tasks) == "[x] a: look\n[ ] b: tell (after a)\n[-] c: dance"


def test_a_planner_plans_before_it_acts_on_each_message() -> None:
    play = Player(make_agent(planning=True), MADE, LOOK, Replied("well"), MADE, Replied("again"))
    assert play.say("how is it?") == "idle"
    asked = [request.messages[-1].text for request in play.model.asked]
    assert asked == [PLAN, "[ ] a: look\n[ ] b: tell (after a)", "here is well"]
    assert [known.id for known in play.thread.session.plan] == ["a", "b"]
    play.say("and now?")
    assert play.answers == ["well", "again"]
    assert play.model.asked[3].messages[-1].text == PLAN
    assert play.heard == ["", "well", "again"], "plans are not streamed"


def test_a_plan_is_revised_on_the_way() -> None:
    done = {"tasks": [{**FIRST, "status": "done"}, THEN]}
    play = Player(make_agent(planning=True), MADE, wants(("plan", done)), Replied("done"))
    assert play.say() == "idle"
    assert [known.status for known in play.thread.session.plan] == ["done", "open"]


def test_a_bad_plan_is_told_and_costs_no_session() -> None:
    bad = wants(("plan", {"tasks": [task("a", "a")]}))
    play = Player(make_agent(planning=True), bad, Replied("without one"))
    assert play.say() == "idle"
    assert play.texts()[-1] == "error: tasks wait for each other: a"


def test_one_that_plans_in_prose_is_told_and_goes_on() -> None:
    play = Player(make_agent(planning=True), Replied("First I look."), Replied("done"))
    assert play.say() == "idle"
    assert play.texts()[1:] == ["First I look.", "error: no tool was called"]


def test_one_that_reflects_does_so_after_its_tools_and_calls_none_meanwhile() -> None:
    thinks = Replied("It went well.", LOOK.calls)
    play = Player(make_agent(reflection=True), LOOK, thinks, LOOK, thinks, Replied("done"))
    assert play.say() == "idle"
    assert play.kinds.count("reflected") == 2
    assert play.kinds.count("tool_requested") == play.thread.session.calls == 2
    assert play.model.asked[1].messages[-1].text == REFLECT
    assert play.texts()[-1] == "Your own thoughts on that: It went well."
    assert play.heard == ["", "", "done"]


def test_neither_is_done_unless_asked_for() -> None:
    play = Player(make_agent(look), LOOK, Replied("done"))
    play.say()
    assert len(play.model.asked) == 2
    assert not [r for r in play.model.asked if any(t.name == "plan" for t in r.tools)]


@pytest.mark.factor("A2")
def test_prompts_are_files_and_the_newest_is_taken(tmp_path: Path) -> None:
    for name in ("v10.md", "v2.md", "v1.txt", "notes.md"):
        (tmp_path / name).write_text(f"{name} é\n", encoding="utf-8")
    prompts = read_prompts(tmp_path)
    assert prompts == {"v2": "v2.md é", "v10": "v10.md é"}
    assert list(prompts) == ["v2", "v10"]
    assert choose(prompts, "") == "v10"
    assert choose(prompts, "v2") == "v2"
    assert choose(prompts, "v3") == "v10"

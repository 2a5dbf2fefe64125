"""Plays the model without a key: a pure function of what it is shown, so every run is the same.

RULES, at the end, are the sentences it understands. Once a call has returned, `_go_on` decides.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ...agent.planning import PLAN, REFLECT
from ...agent.ports import Message, Replied, Request, Result, Said, Wanted

PLACE = "(development|staging|production)"
VERSION = r"v?(\d[\w.-]*\w)"
FACTS = "Facts, as of now:\n"
SUMMARY = "What came before, summed up:\n"
OTHER_NOTES = (PLAN, REFLECT, "Your own thoughts on that:")
NOT_DONE = ("error:", "denied by", "nobody decided")
LINES = ("deploy", "deploy_to_production", "roll_back", "check_deployment")
NO_DEPLOYMENT = 10**9
PLANS = (
    (f"^(?:plan|release).*? {VERSION}", "deploy {0} to staging; check it; ask for production"),
    (f"deploy (\\S+) to {PLACE}", "deploy {0} to {1}; check it"),
    (f"roll back {PLACE}", "find the deployment in {0}; roll it back; check what runs then"),
    ("", "answer"),
)
STORY = """Once there was a release that nobody dared to make. It lay in staging for a fortnight,
healthy and alone, while people asked each other whether Friday was a good day. An agent read the
ledger, line by line, and saw that of forty releases the two that had failed were the biggest. So it
proposed a smaller one. A person looked, thought, and approved. It went out on a Tuesday morning,
was checked, and was well. The next one was smaller still. After a year nobody remembered what there
had been to fear: the ledger had grown long, and each of its lines was short."""


@dataclass
class Turn:
    """What the user said last, and what came of the calls since."""

    words: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    news: list[Result] = field(default_factory=list)
    may_plan: bool = False


def script(request: Request) -> Replied:
    turn = _read(request.messages)
    offered = [tool.name for tool in request.tools]
    if offered == ["plan"]:
        return _call("plan", tasks=_tasks(turn.words))
    if request.messages[-1].text.startswith(REFLECT):
        return Replied("The last step brought what it should, and the plan still holds.")
    turn.may_plan = "plan" in offered
    if turn.news and (reply := _go_on(turn, turn.news[-1])):
        return reply
    for _, pattern, act in RULES:
        if match := re.search(pattern, turn.words, re.IGNORECASE):
            return act(turn, *match.groups())
    return Replied(HELP)


def _read(messages: Iterable[Message]) -> Turn:
    """The plan's own results are left out: they are no news."""
    turn, tools = Turn(), dict[str, str]()
    for message in messages:
        match message:
            case Replied():
                tools |= {call.id: call.tool for call in message.calls}
            case Result():
                turn.news.append(message)
            case Said(text) if text.startswith(FACTS):
                turn.facts = _data(text.removeprefix(FACTS)) or {}
            case Said(text) if text.startswith(SUMMARY):
                turn.words = "".join(re.findall(r"^- user: (.*)", text, re.MULTILINE)[-1:])
                tools |= dict(re.findall(r"^- (c\d+): (\w+) {", text, re.MULTILINE))
            case Said(text) if late := re.match(r"Of (c\d+): (.*)", text, re.DOTALL):
                turn.news.append(Result(late[1], tools.get(late[1], "ask_person"), late[2]))
            case Said(text) if not text.startswith(OTHER_NOTES):
                turn.words, turn.news = text, []
    turn.news = [n for n in turn.news if n.tool != "plan"]
    return turn


def _data(text: str) -> Any:
    """None where it is no JSON: not all of a long result may be shown."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _go_on(turn: Turn, last: Result) -> Replied | None:
    if last.text.startswith(NOT_DONE):
        means_to = re.match("(keep )?fail", turn.words, re.IGNORECASE)
        return None if means_to else Replied(f"That was not done: {last.text}.")
    if last.tool == "ask_person":
        return Replied(f"Thank you. {last.text}.")
    if last.tool not in LINES:
        return None
    if not (line := _data(last.text)):
        return Replied(f"What came of {last.tool} can't be read.")
    if last.tool == "check_deployment":
        return _judge(turn, line)
    return _call("check_deployment", deployment_id=line["id"])


def _judge(turn: Turn, line: dict[str, Any]) -> Replied:
    version, place, status = line["version"], line["environment"], line["status"]
    if status == "failed" and "rollback_of" in line:
        return _ask(turn, f"{place} was rolled back to {version}, and that failed. What now?")
    if status == "failed":
        return _call("roll_back", deployment_id=line["id"])
    if status == "rolled_back":
        return Replied(f"{version} was rolled back in {place} meanwhile.")
    if "rollback_of" in line:
        return Replied(f"{place} was rolled back: it runs {version} again.")
    if place == "staging" and re.match("release", turn.words, re.IGNORECASE):
        plan = Wanted("plan", {"tasks": _tasks(turn.words, done=2)})
        production = Wanted("deploy_to_production", {"version": version})
        return Replied("", (plan, production) if turn.may_plan else (production,))
    return Replied(f"{version} runs in {place}.")


def _tasks(words: str, *, done: int = 0) -> list[dict[str, Any]]:
    """Each waits for the one before it."""
    match, steps = next(
        (match, steps)
        for pattern, steps in PLANS
        if (match := re.search(pattern, words, re.IGNORECASE))
    )
    return [
        {
            "id": f"t{n}",
            "title": title,
            "after": [f"t{n - 1}"] if n > 1 else [],
            "status": "done" if n <= done else "open",
        }
        for n, title in enumerate(steps.format(*match.groups()).split("; "), 1)
    ]


def _call(tool: str, **arguments: object) -> Replied:
    return Replied("", (Wanted(tool, arguments),))


def _deploy(turn: Turn, version: str, place: str) -> Replied:
    if place.lower() == "production":
        return _call("deploy_to_production", version=version)
    return _call("deploy", version=version, environment=place.lower())


def _release(turn: Turn, version: str) -> Replied:
    return _deploy(turn, version, "staging")


def _roll_back(turn: Turn, place: str) -> Replied:
    if not turn.news:
        return _call("ledger_history", environment=place.lower(), limit=5)
    for line in _data(turn.news[-1].text) or []:
        if line["status"] != "rolled_back":
            return _call("roll_back", deployment_id=line["id"])
    return Replied(f"There is nothing to roll back in {place}.")


def _what_runs(turn: Turn) -> Replied:
    if running := turn.facts.get("running"):
        return Replied(", ".join(f"{at}: {tag or 'nothing'}" for at, tag in running.items()) + ".")
    return _history(turn)


def _propose(turn: Turn) -> Replied:
    running = turn.facts.get("running", {})
    staging, production = running.get("staging"), running.get("production")
    if staging in {None, production}:
        return Replied("There is nothing to propose: staging has nothing newer than production.")
    return Replied(f"I propose {staging}, which runs in staging: deploy {staging} to production")


def _history(turn: Turn) -> Replied:
    """One call for each environment that is named, at once."""
    if not turn.news:
        places = re.findall(PLACE, turn.words.lower())
        calls = [Wanted("ledger_history", {"environment": place}) for place in places]
        return Replied("", tuple(calls) or (Wanted("ledger_history", {}),))
    lines = [line for result in turn.news for line in _data(result.text) or []]
    told = [f"{n['id']}: {n['version']} in {n['environment']}, {n['status']}" for n in lines]
    return Replied("\n".join(told) or "The ledger is empty.")


def _plan(turn: Turn, version: str) -> Replied:
    steps = [f"{n}. {task['title']}" for n, task in enumerate(_tasks(turn.words), 1)]
    return Replied("\n".join([*steps, f"To do all that: release {version}"]))


def _ask(turn: Turn, question: str) -> Replied:
    return _call("ask_person", question=question)


def _fail(turn: Turn) -> Replied:
    """Arguments that are refused, then a tool that fails, then another way."""
    ways = (
        _call("ledger_history", limit="many"),
        _call("check_deployment", deployment_id=NO_DEPLOYMENT),
        _call("ledger_history", limit=1),
    )
    if len(turn.news) < len(ways):
        return ways[len(turn.news)]
    return Replied("Two calls went wrong, and a third way brought it: the ledger answers.")


def _keep_failing(turn: Turn) -> Replied:
    return _call("check_deployment", deployment_id=NO_DEPLOYMENT)


def _spend(turn: Turn) -> Replied:
    return _call("ledger_history", limit=1)


def _tell(turn: Turn) -> Replied:
    return Replied(STORY.replace("\n", " "))


Rule = tuple[str, str, Callable[..., Replied]]
RULES: tuple[Rule, ...] = (
    ("plan 1.4.2", f"^plan.*? {VERSION}", _plan),
    ("ask whether Friday is a good day", "^ask (.+)", _ask),
    ("deploy 1.4.2 to staging", f"deploy (\\S+) to {PLACE}", _deploy),
    ("release 1.4.2", f"^release {VERSION}", _release),
    ("roll back production", f"roll back {PLACE}", _roll_back),
    ("what runs where?", "what runs", _what_runs),
    ("what do you propose?", "propose", _propose),
    ("history of staging and production", "history", _history),
    ("keep failing", "keep failing", _keep_failing),
    ("fail and recover", "^fail", _fail),
    ("spend the budget", "spend|budget|loop", _spend),
    ("tell me a story", "story", _tell),
)
HELP = "This is a script, not a model. It understands:\n" + "\n".join(f"- {r[0]}" for r in RULES)

"""Plays the model without a key: a pure function of what it is shown, so every run is the same.

RULES are the sentences it understands. An act is told from its beginning each time: it yields the
call that it wants, gets what came of it, and returns the answer.
"""

import json
import re
from collections.abc import Callable, Generator, Iterable
from typing import Any

from ...agent.own import PLAN, REFLECT
from ...agent.ports import Message, Replied, Request, Result, Said, Wanted

FACTS, SUMMARY = "Facts, as of now:\n", "What came before, summed up:\n"
NOTES = (PLAN, REFLECT, "Your own thoughts on that:", "error: ")
NOT_DONE = ("error:", "denied by", "nobody decided")

Act = Generator[Wanted, str, str]
Data = dict[str, Any]


class NotDone(Exception):
    """What came of a call, where that is nothing."""


def script(request: Request) -> Replied:
    words, facts, news = _read(request.messages)
    if [tool.name for tool in request.tools] == ["plan"]:
        look = {"id": "t2", "title": "see what came of it", "after": ["t1"]}
        return Replied("", (Wanted("plan", {"tasks": [{"id": "t1", "title": words}, look]}),))
    found = ((re.search(pattern, words, re.IGNORECASE), act) for pattern, act in RULES.items())
    act = next((act(facts, *match.groups()) for match, act in found if match), HELP)
    if isinstance(act, str):
        return Replied(act)
    try:
        wanted = next(act)
        for told in news:
            wanted = act.send(told)
    except StopIteration as end:
        return Replied(end.value)
    except NotDone as error:
        return Replied(f"That was not done: {error}.")
    return Replied("", (wanted,))


def _read(messages: Iterable[Message]) -> tuple[str, Data, list[str]]:
    """What the user said last, the facts then, and what came of the calls since."""
    words, facts, news = "", Data(), list[str]()
    for message in messages:
        match message:
            case Result(tool=tool, text=text) if tool != "plan":
                news.append(text)
            case Said(text) if text.startswith(FACTS):
                facts = _data(text.removeprefix(FACTS)) or {}
            case Said(text) if text.startswith(SUMMARY):
                words = "".join(re.findall(r"^- user: (.*)", text, re.MULTILINE)[-1:])
            case Said(text) if not text.startswith(NOTES):
                words, news = text, []
    return words, facts, news


def _data(text: str) -> Any:
    """None where it is no JSON: not all of a long text may be shown."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _call(tool: str, **arguments: object) -> Generator[Wanted, str, Any]:
    told = yield Wanted(tool, arguments)
    if told.startswith(NOT_DONE) or (data := _data(told)) is None:
        raise NotDone(told)
    return data


def _deploy(_: Data, version: str, place: str) -> Act:
    if (place := place.lower()) == "production":
        line = yield from _call("deploy_to_production", version=version)
    else:
        line = yield from _call("deploy", version=version, environment=place)
    return (yield from _check(line))


def _check(line: Data) -> Act:
    """What fails is rolled back; what fails after that is put to a person."""
    line = yield from _call("check_deployment", deployment_id=line["id"])
    version, place, back = line["version"], line["environment"], "rollback_of" in line
    if line["status"] == "succeeded":
        return f"{place} was rolled back to {version}." if back else f"{version} runs in {place}."
    if back:
        return (yield from _ask({}, f"{place} fails even with {version} again. What now?"))
    return (yield from _check((yield from _call("roll_back", deployment_id=line["id"]))))


def _release(facts: Data, version: str) -> Act:
    told = yield from _deploy(facts, version, "staging")
    if told != f"{version} runs in staging.":
        return told
    return (yield from _deploy(facts, version, "production"))


def _roll_back(_: Data, place: str) -> Act:
    for line in (yield from _call("ledger_history", environment=place.lower())):
        if line["status"] != "rolled_back":
            return (yield from _check((yield from _call("roll_back", deployment_id=line["id"]))))
    return f"There is nothing to roll back in {place}."


def _what_runs(facts: Data) -> str:
    running = facts.get("running", {})
    told = ", ".join(f"{place}: {version or 'nothing'}" for place, version in running.items())
    if (version := running.get("staging")) not in {None, running.get("production")}:
        told += f". I propose: deploy {version} to production"
    return told or "The ledger does not answer"


def _allow(facts: Data, version: str) -> Act | str:
    if facts.get("running", {}).get("staging") != version:
        return f"{version} may not go to production: it does not run in staging."
    return _allowed(version)


def _allowed(version: str) -> Act:
    told = yield Wanted("allow_in_production", {"version": version})
    if told.startswith(NOT_DONE):
        raise NotDone(told)
    return f"{told}."


def _ask(_: Data, question: str) -> Act:
    return f"Thank you. {(yield Wanted('ask_person', {'question': question}))}."


def _fail(_: Data) -> Act:
    yield Wanted("ledger_history", {"limit": "many"})
    yield Wanted("check_deployment", {"deployment_id": 10**9})
    yield Wanted("ledger_history", {"limit": 1})
    return "Two calls went wrong, and a third way brought it: the ledger answers."


def _again(tool: str, **arguments: object) -> Act:
    while True:
        yield Wanted(tool, arguments)


RULES: dict[str, Callable[..., Act | str]] = {
    r"^Of c\d+: (\{.*)": lambda _, line: _check(json.loads(line)),  # decided after other talk
    r"^Of c\d+: (.*)": lambda _, told: f"Thank you. {told}.",
    "^ask (.+)": _ask,
    r"^may (\S+) go to production": _allow,
    r"deploy (\S+) to (development|staging|production)": _deploy,
    r"^release v?(\d[\w.-]*\w)": _release,
    "roll back (development|staging|production)": _roll_back,
    "what runs|propose": _what_runs,
    "^fail": _fail,
    "keep failing": lambda _: _again("check_deployment", deployment_id=10**9),
    "spend": lambda _: _again("ledger_history", limit=1),
    "story": lambda _: "Once there was a release that nobody dared to make. " * 12,
}
HELP = """This is a script, not a model. It understands: what runs where? · what do you propose? ·
deploy 1.4.2 to staging · deploy 1.4.2-broken to staging · release 1.4.2 · roll back production ·
may 1.4.2 go to production? · ask … · fail and recover · keep failing · spend the budget ·
tell me a story"""

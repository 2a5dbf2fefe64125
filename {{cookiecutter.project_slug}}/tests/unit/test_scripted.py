"""The scripted model, with a script of the test's own."""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }} import agents
from {{ cookiecutter.package_name }}.adapters.scripted import make_scripted
from {{ cookiecutter.package_name }}.agent.events import Usage
from {{ cookiecutter.package_name }}.agent.ports import Answer, Replied, Request, Said, Wanted
from {{ cookiecutter.package_name }}.errors import ModelError

PARROT = f"""
from {Replied.__module__} import Replied, Wanted
from {ModelError.__module__} import ModelError

def script(request):
    said = request.messages[-1].text
    if said == "fail":
        raise ModelError("the parrot is asleep")
    return Replied(said, (Wanted("nod", dict(times=2), "c7"),))
"""


@pytest.fixture(autouse=True)
def _parrot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The only agents there are: one with a script, one without."""
    for name in ("parrot", "mute"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "parrot" / "script.py").write_text(PARROT)
    monkeypatch.setattr(agents, "__path__", [str(tmp_path)])
    yield
    for name in [name for name in sys.modules if "parrot" in name or "mute" in name]:
        del sys.modules[name]


def ask(text: str) -> tuple[Answer, list[str]]:
    told: list[str] = []
    request = Request("", (Said(text),))
    return asyncio.run(make_scripted("parrot").answer(request, on_text=told.append)), told


def test_it_says_what_the_script_says_word_by_word() -> None:
    answer, told = ask("  to be,\n or not\tto be ")
    assert (answer.text, answer.model) == ("  to be,\n or not\tto be ", "scripted:parrot")
    assert answer.calls == (Wanted("nod", {"times": 2}, "c7"),)
    assert told == ["  ", "to ", "be,\n ", "or ", "not\t", "to ", "be "]


def test_it_costs_nothing_but_its_tokens_are_counted() -> None:
    short, long = ask("hi")[0].usage, ask("word " * 100)[0].usage
    assert short.cost == long.cost == Usage().cost
    assert long.input_tokens > short.input_tokens > 0
    assert long.output_tokens > 100 > short.output_tokens > 0


def test_a_script_may_fail_as_a_model_does() -> None:
    with pytest.raises(ModelError, match="the parrot is asleep"):
        ask("fail")


@pytest.mark.parametrize("name", ["cat", "mute", "", "parrot.script", "..parrot"])
def test_an_unknown_script_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(ValueError, match=r"^the scripts are parrot$"):
        make_scripted(name)


@pytest.mark.parametrize(("name", "seconds"), [("parrot", 0), ("parrot?seconds=2.5", 2.5)])
def test_it_takes_the_time_it_is_told_to(name: str, seconds: float) -> None:
    slept: list[float | str] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    model = replace(make_scripted(name), sleep=sleep)
    answer = asyncio.run(model.answer(Request("", (Said("hi"),)), on_text=slept.append))
    assert slept == [seconds, "hi"]
    assert answer.model == "scripted:parrot"


@pytest.mark.parametrize(
    "options",
    ["seconds=", "seconds=-1", "seconds=inf", "seconds=1.2.3", "second=1", "2", "a=1&b=2"],
)
def test_no_other_option_is_taken(options: str) -> None:
    with pytest.raises(ValueError, match="seconds=2"):
        make_scripted(f"parrot?{options}")

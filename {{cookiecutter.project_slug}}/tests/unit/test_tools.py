"""Tools: a typed function is all it takes."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from {{ cookiecutter.package_name }}.agent.definition import Agent
from {{ cookiecutter.package_name }}.agent.own import ask_person
from {{ cookiecutter.package_name }}.agent.tools import (
    Context,
    Tool,
    ToolError,
    brief,
    tool,
)
from {{ cookiecutter.package_name }}.errors import NotFound

HERE = Context("s", "s:c1")
HOST = {"name": "h", "from": "2026-01-02T00:00:00Z"}


class Size(StrEnum):
    SMALL = "small"
    BIG = "big"


class Host(BaseModel):
    name: str
    from_: Annotated[datetime, Field(alias="from")]


def order(  # noqa: PLR0913, PLR0917
    what: Annotated[str, Field(description="As on the menu.", min_length=2)],
    where: Literal["here", "away"],
    context: Context,
    count: Annotated[int, Field(ge=1)] = 1,
    size: Size = Size.SMALL,
    host: Host | None = None,
    price: Decimal = Decimal("1.50"),
) -> dict[str, object]:
    """Order a dish.

    It comes hot.
    """
    return {"key": context.key, "all": (what, where, count, size, host, price)}


ORDER = tool(permission="ask", idempotent=False, seconds=2)(order)


def run(tool: Tool, **arguments: Any) -> Any:
    return asyncio.run(tool.call(arguments, HERE))


@pytest.mark.factor("A4")
def test_a_function_is_the_schema() -> None:
    assert (ORDER.name, ORDER.description) == ("order", "Order a dish.\n\nIt comes hot.")
    assert (ORDER.permission, ORDER.idempotent, ORDER.seconds) == ("ask", False, 2)
    schema = ORDER.offer.schema
    assert list(schema["properties"]) == ["what", "where", "count", "size", "host", "price"]
    assert schema["required"] == ["what", "where"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["what"]["description"] == "As on the menu."
    assert schema["properties"]["where"]["enum"] == ["here", "away"]
    assert schema["properties"]["count"]["default"] == 1
    assert schema["$defs"]["Host"]["required"] == ["name", "from"]


def test_arguments_arrive_as_their_types_with_the_context() -> None:
    given = {"what": "soup", "where": "here", "size": "big", "count": "2"}
    checked = ORDER.check({**given, "host": HOST})
    assert ORDER.check(checked) == checked, "what is stored fits again"
    assert run(ORDER, **checked) == {
        "key": "s:c1",
        "all": ["soup", "here", 2, "big", HOST, "1.50"],
    }


@pytest.mark.factor("A4")
def test_bad_arguments_are_named_all_at_once() -> None:
    with pytest.raises(ToolError) as caught:
        ORDER.check({"what": "x", "where": "there", "count": 0, "spoon": 1})
    faults = str(caught.value).split("; ")
    assert [fault.partition(":")[0] for fault in faults] == ["what", "where", "count", "spoon"]
    assert "\n" not in str(caught.value)
    with pytest.raises(ToolError, match="not JSON: Extra inputs are not permitted"):
        tool(rest).check({"not JSON": "{"})


def rest() -> None:
    """Do nothing."""


async def sleep() -> None:
    await asyncio.Event().wait()


def thread_name() -> str:
    return threading.current_thread().name


def promise() -> Any:
    return asyncio.sleep(0, "kept")


def test_async_and_sync_functions_run_and_no_sync_one_holds_the_loop() -> None:
    assert run(tool(rest)) is None
    assert run(tool(promise)) == "kept"
    assert run(tool(thread_name)) != threading.current_thread().name
    assert tool()(rest).name == "rest"


def test_a_tool_ends_with_its_time() -> None:
    with pytest.raises(ToolError, match=r"no result within 0.01 s"):
        run(tool(seconds=0.01)(sleep))


def test_a_timeout_of_its_own_is_its_own() -> None:
    def ask() -> None:
        raise TimeoutError("the database is slow")

    with pytest.raises(TimeoutError, match="the database is slow"):
        run(tool(ask))


class Odd:
    def __str__(self) -> str:
        return "odd"


LOOP: list[object] = [1]
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, None),
        ((1, {2}), [1, [2]]),
        (Host.model_validate(HOST), HOST),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        (timedelta(minutes=1), "PT1M"),
        ({1: Decimal("1.50")}, {"1": "1.50"}),
        (Odd(), "odd"),
        (b"text", "text"),
        (b"\xff", r"b'\xff'"),
        (LOOP, "[1, [...]]"),
        ("\0\ud800", "\ufffd\ufffd"),
        (float("nan"), None),
    ],
)
def test_every_result_becomes_json(result: object, expected: object) -> None:
    def give() -> object:
        return result

    assert run(tool(give)) == expected


def test_a_parameter_without_a_type_is_a_fault_of_ours() -> None:
    def vague(a: int, b, c=1):  # type: ignore[no-untyped-def]
        return a, b, c

    with pytest.raises(TypeError, match=r"vague.*: give a type to b, c"):
        tool(vague)


@pytest.mark.factor("A9")
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ToolError("no such\n  place"), "no such place"),
        (NotFound("gone"), "gone"),
        (ValueError("bad"), "ValueError: bad"),
        (KeyError("x"), "KeyError: 'x'"),
        (RuntimeError(), "RuntimeError: RuntimeError"),
    ],
)
def test_an_error_is_brief(error: Exception, text: str) -> None:
    assert brief(error) == text
    assert len(brief(type(error)("long " * 1000))) <= 301


def test_two_tools_of_one_name_are_a_fault_of_the_agent() -> None:
    with pytest.raises(ValueError, match="agent one has two tools of the name ask_person"):
        Agent(name="one", description="", prompts={"v1": ""}, tools=(ask_person,))

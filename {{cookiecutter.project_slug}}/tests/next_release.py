"""The release after this one: it counts from 1 what this one counts from 0, and says so."""

from typing import Any

from {{ cookiecutter.package_name }}.agent import events


def counted_from_one(data: dict[str, Any]) -> dict[str, Any]:
    call = data["call"]
    return data | {"call": call | {"arguments": {"number": call["arguments"]["number"] + 1}}}


events.SCHEMA += 1
events.UPCASTERS["tool_requested", 1] = counted_from_one

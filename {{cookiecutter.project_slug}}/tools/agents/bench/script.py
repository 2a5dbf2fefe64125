"""Plays its model. All that it goes by is the last thing done, so any context will do."""

import re

from {{ cookiecutter.package_name }}.agent.ports import Replied, Request, Result, Said, Wanted

TOLD = re.compile(r"(\d+) steps of (\d+) bytes(?:, (\d+) ms each)?")
DID = re.compile(r'"left": (\d+), "ms": (\d+), "size": (\d+)')


def script(request: Request) -> Replied:
    match request.messages[-1]:
        case Said(text) if told := TOLD.search(text):
            left, size, ms = (int(number or 0) for number in told.groups())
        case Result(_, _, text) if did := DID.search(text):
            left, ms, size = map(int, did.groups())
        case Result() if isinstance(wanted := request.messages[-2], Replied):
            return Replied("", wanted.calls)  # it failed: once more
        case other:
            return Replied(f"I was told nothing to do: {other}")
    if not left:
        return Replied("All is done.")
    return Replied("", (Wanted("act", {"left": left - 1, "size": size, "ms": ms}),))

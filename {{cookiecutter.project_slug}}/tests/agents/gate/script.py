"""Asks a person about any version, but for one that is broken."""

import re

from {{ cookiecutter.package_name }}.agent.ports import Replied, Request, Result, Said, Wanted


def script(request: Request) -> Replied:
    if isinstance(result := request.messages[-1], Result):
        return Replied(f"so it is: {result.text}")
    (said,) = [message.text for message in request.messages if isinstance(message, Said)][-1:]
    version = re.findall(r"may (\S+) go to production", said)[0]
    if version.endswith("-broken"):
        return Replied(f"{version} may not go on: it is broken.")
    return Replied("", (Wanted("allow_in_production", {"version": version}),))

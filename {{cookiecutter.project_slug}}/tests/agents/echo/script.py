"""Says what it hears; the name of a tool calls that first."""

from {{ cookiecutter.package_name }}.agent.ports import Replied, Request, Result, Said, Wanted


def script(request: Request) -> Replied:
    told = [message for message in request.messages if isinstance(message, Said)]
    last = request.messages[-1]
    if isinstance(last, Result):
        return Replied(f"so it is: {last.text}")
    if told[-1].text in {"act", "risk", "hang", "book"}:
        return Replied("", (Wanted(told[-1].text, {"number": 1}),))
    return Replied(f"I hear: {told[-1].text}")

"""Says what it hears; `act`, `risk` and `hang` call the tool of that name first."""

from {{ cookiecutter.package_name }}.agent.ports import Replied, Request, Result, Said, Wanted


def script(request: Request) -> Replied:
    told = [message for message in request.messages if isinstance(message, Said)]
    last = request.messages[-1]
    if isinstance(last, Result):
        return Replied(f"so it is: {last.text}")
    if told[-1].text in {"act", "risk", "hang"}:
        return Replied("", (Wanted(told[-1].text, {"number": 1}),))
    return Replied(f"I hear: {told[-1].text}")

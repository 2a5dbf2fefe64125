"""Plays its model: by the length of what is said it dares, asks, or answers."""

from {{ cookiecutter.package_name }}.agent.ports import Replied, Request, Said, Wanted

DARES = Replied("", (Wanted("risk", {"size": 1}),))
ASKS = Replied("", (Wanted("ask_person", {"question": "Which of them?"}),))
DONE = Replied("So be it.")


def script(request: Request) -> Replied:
    match request.messages[-1]:
        case Said(text):
            return (DARES, ASKS, DONE)[len(text) % 3]
    return DONE

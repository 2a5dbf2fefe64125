"""Sessions that exist: most of what is fuzzed asks for one of them, or it would only find none."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2

from ..keys import AUTH

EACH = 100
PROBABILITY = 0.8
PATH = "/chat/sessions"
ONE = PATH + "/{session_id}"
DONE, DARES, ASKS = "hello", "now", "what"
"""What the agent of these runs answers at once, and what it wants a person for."""
OWN = {
    f"DELETE {ONE}": "doomed",
    f"POST {ONE}/cancel": "doomed",
    f"POST {ONE}/approvals/{{request_id}}": "waiting",
}
"""Routes that are no use to most sessions, or most sessions none to them; a method and a path are
one name, as of two conditions schemathesis takes either."""


@dataclass(frozen=True)
class Known:
    """Ids by what they are good for."""

    sessions: list[str]
    waiting: list[str]
    doomed: list[str]
    requests: list[str]

    @classmethod
    def of(cls, url: str) -> "Known":
        """New ones, made as any client makes them."""
        with httpx2.Client(base_url=url, headers=AUTH, timeout=60, verify=False) as client:
            idle, doomed = (_told(client, DONE) for _ in range(2))
            waiting = _told(client, DARES) | _told(client, ASKS)
        requests = {request for pending in waiting.values() for request in pending}
        return cls([*idle, *waiting], list(waiting), list(doomed), sorted(requests))

    def settings(self) -> str:
        """What schemathesis.toml says of them; the rest is made up as before."""
        lines = [line for name, ids in vars(self).items() for line in _dictionary(name, ids)]
        lines += [*_bound("session_id", "sessions"), *_bound("request_id", "requests")]
        for operation, name in OWN.items():
            lines += ["[[operations]]", f"include-name = {json.dumps(operation)}"]
            lines += _bound("session_id", name, of="operations.")
        return "\n".join(lines)


def _told(client: httpx2.Client, text: str) -> dict[str, list[str]]:
    """Sessions that were told this, each with the requests that a person has to decide."""
    found = {}
    for _ in range(EACH):
        session = client.post(PATH).raise_for_status().json()["session_id"]
        answer = client.post(f"{PATH}/{session}/messages", json={"text": text}).raise_for_status()
        found[session] = [pending["request_id"] for pending in answer.json()["pending"]]
    return found


def _dictionary(name: str, values: list[str]) -> Iterator[str]:
    yield f"[dictionaries.{name}]"
    yield f"values = {json.dumps(values)}"


def _bound(parameter: str, dictionary: str, *, of: str = "") -> Iterator[str]:
    """Texts and lists are the same in TOML as in JSON."""
    yield f'[{of}parameters."path.{parameter}"]'
    yield f'dictionary = "{dictionary}"'
    yield f"probability = {PROBABILITY}"

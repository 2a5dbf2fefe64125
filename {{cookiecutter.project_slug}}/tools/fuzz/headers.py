"""Headers that no client would send, to the real app in this process: none of them breaks it."""

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from random import Random
from typing import Any

from fastapi import FastAPI

Pair = tuple[bytes, bytes]
USUAL = {
    "Accept": "text/event-stream, application/json;q=0.5",
    "Accept-Encoding": "gzip, br;q=0.1",
    "Authorization": "Bearer tfa_none",
    "Connection": "keep-alive",
    "Content-Length": "15",
    "Content-Type": "application/json; charset=utf-8",
    "Cookie": "a=b; c=d",
    "Expect": "100-continue",
    "Host": "localhost:8000",
    "Idempotency-Key": "4711",
    "If-None-Match": '"abc"',
    "Last-Event-ID": "12",
    "Origin": "https://console.example",
    "Prefer": "wait=5, respond-async",
    "Range": "bytes=0-1",
    "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Tracestate": "ctx=lane:blue",
    "Transfer-Encoding": "chunked",
    "X-Forwarded-For": "10.0.0.1, 127.0.0.1",
    "X-Forwarded-Proto": "https",
    "X-Request-Id": "0af7651916cd43dd",
    "X-Signature": "t=1767323045,v1=00",
}
PIECES = [b"\0", b"\r\n", b"\xff\xfe", b"%00", b"\xc3\xa9", b"-1", b"9" * 40, b"1e999", b"nan"]
PIECES += [b"${jndi:x}", b"' OR 1=1 --", b"<script>", b"../" * 9, b"\t", b",", b";", b"=", b'"']
LONG = 8_000
CLIENT_ERROR, SERVER_ERROR = 400, 500
KEY = "Authorization"
BODY = b'{"text": "hello"}'


@dataclass
class Outcome:
    cases: int = 0
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By route and status."""
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, route: str, status: int) -> None:
        self.cases += 1
        self.answers[route, status] += 1

    @property
    def routes(self) -> set[str]:
        return {route for route, _ in self.answers}

    def done(self, least: int = 1) -> set[str]:
        """Routes that have done what they are for, so often."""
        done: Counter[str] = Counter()
        for (route, status), times in self.answers.items():
            done[route] += times if status < CLIENT_ERROR else 0
        return {route for route, times in done.items() if times >= least}

    def share(self, routes: Collection[str], *, but: Collection[int]) -> float:
        """Of the requests to these routes, what was answered otherwise."""
        asked = {key: times for key, times in self.answers.items() if key[0] in routes}
        other = sum(times for (_, status), times in asked.items() if status not in but)
        return other / max(sum(asked.values()), 1)


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    documented: dict[str, set[str]]
    """The content types of each status."""
    wants_key: bool = True

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def fault(self, status: int, content_type: str, *, is_known: bool = True) -> str:
        """What is wrong with this answer: ours, or not as described; empty if nothing is."""
        if status >= SERVER_ERROR:
            return f"{self.name} answers {status} {content_type}"
        if status < CLIENT_ERROR and "401" in self.documented and not is_known:
            return f"{self.name} answers {status} to a key that is none"
        if (types := self.documented.get(str(status))) is None:
            return f"{self.name} answers {status}, which is not documented"
        if (kind := content_type.partition(";")[0]) not in (types or {""}):
            return f"{self.name} answers {status} as {kind or 'nothing'}, not {sorted(types)}"
        return ""


def routes(document: dict[str, Any], *, but: tuple[str, ...] = ("delete",)) -> list[Route]:
    """Of the OpenAPI document; by default all that deletes nothing."""
    return [
        Route(
            method.upper(),
            path,
            {status: set(told.get("content", ())) for status, told in of.items()},
            wants_key=bool(operation.get("security")),
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method not in but and (of := operation.get("responses"))
    ]


def mutated(random: Random, *, authorization: str = "") -> list[Pair]:
    """A few usual headers, and the key if there is one; of these one is changed, some doubled."""
    chosen = random.sample(sorted(USUAL.items()), random.randint(1, 5))
    if authorization:
        chosen = [pair for pair in chosen if pair[0] != KEY] + [(KEY, authorization)]
    pairs = [(name.lower().encode(), value.encode()) for name, value in chosen]
    at = random.randrange(len(pairs))
    name, value = pairs[at]
    for _ in range(random.randint(1, 3)):
        value = changed(random, value)
    pairs[at] = (name, value)
    return pairs + random.choices(pairs, k=random.randint(0, 2))


def holds(headers: list[Pair], authorization: str) -> bool:
    """Whether the key came as it is; blanks around it belong to nobody."""
    given = {value.strip(b" \t") for name, value in headers if name == KEY.lower().encode()}
    return bool(authorization) and given == {authorization.encode()}


def changed(random: Random, value: bytes) -> bytes:
    at = random.randint(0, len(value))
    match random.randrange(6):
        case 0:
            return value[:at] + random.choice(PIECES) + value[at:]
        case 1:
            return value[:at] + random.randbytes(random.randint(1, 6)) + value[at:]
        case 2:
            return value[:at]
        case 3:
            return value * random.randint(2, 5)
        case 4:
            return random.choice(PIECES) * random.randint(1, 9)
        case _:
            return (value or b"x") * (LONG // (len(value) or 1))


async def fuzz(app: FastAPI, *, cases: int, seed: int, authorization: str = "") -> Outcome:
    """What came of so many requests, each with a body, to every route in turn."""
    random, outcome, every = Random(seed), Outcome(), routes(app.openapi())
    lifespan: Any = app.router.lifespan_context(app)
    async with lifespan as state:
        state["stopping"].begin()  # nothing waits for a worker, no stream lasts
        for number in range(cases):
            route = every[number % len(every)]
            if route is every[0]:  # one for each turn, which may end with it
                session = await state["service"].start()
            path = route.path.format(session_id=session, request_id="c1", sender="ops")
            headers = mutated(random, authorization=authorization)
            status, content_type = await ask(app, route.method, path, headers, state=state)
            outcome.add(route.name, status)
            is_known = holds(headers, authorization)
            if fault := route.fault(status, content_type, is_known=is_known):
                outcome.faults[fault] += 1
    return outcome


async def ask(  # noqa: PLR0913
    app: FastAPI, method: str, path: str, headers: list[Pair], *, state: Any, body: bytes = BODY
) -> tuple[int, str]:
    """Status and content type of the answer; 500 where it breaks off or never begins."""
    came = iter([{"type": "http.request", "body": body}])
    started: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(came, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": dict(state),
    }
    try:
        await app(scope, receive, send)
    except Exception as error:  # the server would answer 500
        return 500, f"broken by {error!r:.100} under {json.dumps(str(headers))[:300]}"
    answer = started[0]
    types = dict(answer["headers"]).get(b"content-type", b"")
    return answer["status"], types.decode("latin-1")

"""What holds for every answer and every request, whatever its route."""

import asyncio
from collections.abc import Collection

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .observe import PROBES, header
from .problems import problem

HEAD_BYTES = 16_384
BODY_BYTES = 2_000_000
BODY_SECONDS = 30.0
"""A body has to be here by then: who sends a byte now and then would keep a connection for ever."""
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
RAW = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


class Guard:
    """Pure ASGI: headers on every answer, hosts that we know, bodies that end; and the last word
    where nobody expected what happened. Not by a handler: the framework calls that one past
    everything that puts headers on an answer.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        has_begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                own = {name for name, _ in message["headers"]}
                more = [(name, value) for name, value in RAW if name not in own]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        if _head_bytes(scope) > HEAD_BYTES:
            refused = problem(431, f"the head of a request has at most {HEAD_BYTES} bytes")
            await refused(scope, receive, send_guarded)
            return
        if not self._is_known(scope):
            refused = problem(400, "this host is not served here (ALLOWED_HOSTS)")
            await refused(scope, receive, send_guarded)
            return
        try:
            await self.app(scope, Body(receive), send_guarded)
        except Exception:  # it goes on to be logged
            if not has_begun:
                broken = problem(500, "the fault is ours and has been logged")
                await broken(scope, receive, send_guarded)
            raise

    def _is_known(self, scope: Scope) -> bool:
        if "*" in self.hosts or scope["path"] in PROBES:  # those are asked by an address
            return True
        host = header(scope, b"host").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return any(
            name == known or (known.startswith("*.") and name.endswith(known[1:]))
            for known in self.hosts
        )


def _head_bytes(scope: Scope) -> int:
    fields = sum(len(name) + len(value) for name, value in scope["headers"])
    return fields + len(scope["raw_path"]) + len(scope["query_string"])


class Body:
    """Counts what really comes, whatever the headers say."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._until = 0.0
        self._size = 0
        self._is_over = False

    async def __call__(self) -> Message:
        if self._is_over:  # what comes now is the client's goodbye, which may take its time
            return await self._receive()
        self._until = self._until or asyncio.get_running_loop().time() + BODY_SECONDS
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"a body has to come within {BODY_SECONDS:g} s") from None
        self._size += len(message.get("body", b""))
        self._is_over = not message.get("more_body", False)
        if self._size > BODY_BYTES:
            raise HTTPException(413, f"a body has at most {BODY_BYTES} bytes")
        return message

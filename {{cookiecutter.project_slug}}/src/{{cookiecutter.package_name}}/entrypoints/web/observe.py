"""What every request leaves behind: an id, a log event, two metrics."""

import asyncio
import logging
import re
import time
from contextvars import Context, copy_context
from functools import cache
from random import getrandbits

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...telemetry.logs import request_id, session
from ...telemetry.metrics import Metrics

log = logging.getLogger(__name__)

ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
PATH_LENGTH = 200
DECIDE = "/decide/"
PROBES = {"/health", "/ready", "/metrics"}


def header(scope: Scope, name: bytes) -> str:
    """The first of that name, or nothing: a request has a few, and each is looked at once."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def shown(path: str) -> str:
    """As it may be logged: a code in it lets its reader decide."""
    return f"{DECIDE}…" if path.startswith(DECIDE) else path[:PATH_LENGTH]


class Observe:
    """Pure ASGI: it sees the status that really leaves, and costs a request microseconds."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._counted = cache(metrics.of_request)
        self._untold: list[tuple[Context, dict[str, object]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        method = scope["method"] if scope["method"] in METHODS else "other"
        if method == "HEAD":  # as GET; the server leaves the body out
            scope = {**scope, "method": "GET", "is_head": True}
        given = header(scope, b"x-request-id")
        rid = given if ACCEPTED_ID.fullmatch(given) else f"{getrandbits(128):032x}"
        token, none = request_id.set(rid), session.set("")
        status = 500

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", rid.encode()))
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        except Exception:  # here it is known whose it is; what the server says of it is left out
            log.exception("request failed")
            raise
        finally:
            self._note(scope, method, status, time.perf_counter() - started)
            request_id.reset(token)
            session.reset(none)

    def _note(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        path = shown(scope["path"])
        route = getattr(scope.get("route"), "path", "(none)")
        answered, took = self._counted(method, route, status)
        answered.inc()
        took.observe(seconds)
        if path not in PROBES:
            extra = {
                "method": method,
                "path": path,
                "status": status,
                "ms": round(seconds * 1000, 1),
            }
            if not self._untold:
                asyncio.get_running_loop().call_soon(self._tell)
            self._untold.append((copy_context(), extra))

    def _tell(self) -> None:
        """What one turn of the loop answered, in a row: alone, each line costs four times as much,
        as nothing of what writes it is in the processor's caches any more.
        """
        untold, self._untold = self._untold, []
        for context, extra in untold:
            context.run(log.info, "request answered", extra=extra)

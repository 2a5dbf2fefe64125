"""Who asks: a key, its owner and its scopes; and whether it has an allowance left.

Pure ASGI, before anything of the request is read: what is not public needs a key, also a path that
nobody has thought of yet.
"""

from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import AppError, Forbidden, Unauthorized
from ...ports import Caller
from ...ports import Scope as Right
from ...service import Service
from .observe import PROBES, header
from .problems import answer

SIGNED = "/hooks"
"""What comes there is signed instead,"""
DECIDE = "/decide"
"""and who decides there has a code;"""
CHANNELS = "/channels"
"""each of those checks by whom it was signed."""
PAGES = {"/", "/inbox", "/overview", "/sign-in", "/sign-out"}
PAGES_UNDER = ("/sessions/", "/static/")
"""The console's: a cookie says whose key has signed in."""
PUBLIC = PROBES | {"/openapi.json"} | PAGES
OPEN = (f"{SIGNED}/", f"{DECIDE}/", f"{CHANNELS}/", *PAGES_UNDER)
SCHEME = {"type": "http", "scheme": "bearer", "description": "`keys create` makes a key."}


class Authenticate:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_public(scope["path"]):
            try:
                scope["state"]["caller"] = await _caller(scope)
            except AppError as error:
                await answer(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _is_public(path: str) -> bool:
    return path in PUBLIC or path.startswith(OPEN)


async def _caller(scope: Scope) -> Caller:
    """Whose key came with the request, which is counted."""
    kind, _, key = header(scope, b"authorization").partition(" ")
    if kind.lower() != "bearer":
        raise Unauthorized("there is none: send `Authorization: Bearer KEY`")
    caller: Caller | None = await scope["state"]["identity"].who(key.strip())
    if caller is None:
        raise Unauthorized("it is unknown, revoked or expired: send one that is in use")
    await scope["state"]["allowances"].take_request(caller)
    return caller


class Desk(NamedTuple):
    """Who asks, and what is asked: one dependency, as each costs a request as much as its query."""

    service: Service
    caller: Caller


class Needs:
    """A dependency that lets nobody pass but a key with this scope."""

    def __init__(self, right: Right) -> None:
        self.right = right

    async def __call__(self, request: Request) -> Desk:
        state = request.state
        check_scope(state.caller, self.right)
        return Desk(state.service, state.caller)


def check_scope(caller: Caller, right: Right) -> None:
    if right not in caller.scopes:
        raise Forbidden(f"key {caller.name} lacks the scope `{right}`")


Chatter = Annotated[Desk, Depends(Needs("chat"))]
Approver = Annotated[Desk, Depends(Needs("approve"))]
Admin = Annotated[Desk, Depends(Needs("admin"))]


async def _spender(request: Request, desk: Chatter) -> Desk:
    await request.state.allowances.take_message(desk.caller)
    return desk


Spender = Annotated[Desk, Depends(_spender)]
"""Who gives agents work, which costs."""


def describe_keys(document: dict[str, Any]) -> None:
    """Adds to the OpenAPI document what needs a key."""
    document["components"]["securitySchemes"] = {"key": SCHEME}
    for path, methods in document["paths"].items():
        for route in methods.values():
            route["security"] = [] if _is_public(path) else [{"key": []}]

"""The service as an MCP server: one POST, one answer, nothing kept, so any web process may answer.

Three revisions of the protocol are spoken that begin by `initialize`, whose outcome nobody has to
remember, and one in which each request says all about itself. There is no GET: nothing is sent
unasked. Its OpenAPI is `tools/list`; what each tool does is in `offers`.
"""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StrictInt, ValidationError

from ...about import about
from ...errors import AppError, Forbidden
from ...settings import listed
from .callers import check_scope
from .problems import outside, where

router = APIRouter()

HANDSHAKES = ("2025-11-25", "2025-06-18", "2025-03-26")
"""The newest first. Batches, which the last alone has, are refused."""
SELF_CONTAINED = "2026-07-28"
SPOKEN = (SELF_CONTAINED, *HANDSHAKES)
META = "io.modelcontextprotocol/"
INSTRUCTIONS = (
    "Start a session with an agent, say what is wanted, and read what comes of it. What stands in "
    "`pending` waits for a person: approve, refuse or answer it only as that person tells you to."
)
VERSION_HEADER, METHOD_HEADER, NAME_HEADER = "mcp-protocol-version", "mcp-method", "mcp-name"
NO_JSON, NO_REQUEST, NO_METHOD, NO_PARAMS = -32700, -32600, -32601, -32602
OTHER_HEADERS, OTHER_VERSION = -32020, -32022
LISTED_MS = 60_000


class Asked(BaseModel):
    """A request of JSON-RPC."""

    jsonrpc: Literal["2.0"]
    id: StrictInt | str
    method: Annotated[str, Field(max_length=100)]
    params: dict[str, Any] = {}


class Called(BaseModel):
    """What `tools/call` says."""

    name: Annotated[str, Field(max_length=100)]
    arguments: dict[str, Any] = {}


class Refused(Exception):
    """An error of the protocol, not of a tool: what the client has to mend, not its model."""

    def __init__(self, code: int, text: str, *, status: int = 400, data: object = None) -> None:
        super().__init__(text)
        self.status = status
        self.error = {"code": code, "message": text} | ({"data": data} if data else {})


@router.post("/mcp", include_in_schema=False)
async def mcp(request: Request) -> Response:
    """One message of the protocol: a request is answered, a notification taken."""
    _check_origin(request)
    id_: int | str | None = None
    try:
        asked = _read(await request.body())
        id_ = asked.id if asked else None
        version = _version(request)
        if asked is None:
            return Response(status_code=202)
        is_alone = version == SELF_CONTAINED and asked.method != "initialize"
        if is_alone:
            _check_headers(request, asked)
        result = await _result(request, asked, is_alone=is_alone)
    except Refused as refused:
        return _message(refused.status, {"id": id_, "error": refused.error})
    return _message(200, {"id": id_, "result": result})


def _check_origin(request: Request) -> None:
    """A page of another origin may use a browser's network, but has to be one of CORS_ORIGINS."""
    origin = request.headers.get("origin", "")
    if origin and origin not in listed(request.app.state.settings.cors_origins):
        raise Forbidden("pages of this origin may not ask here (CORS_ORIGINS)")


def _read(body: bytes) -> Asked | None:
    """The request; None where it is a notification, of which nobody waits for an answer."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(NO_JSON, "the body is no JSON") from None
    if not isinstance(asked, dict):
        raise Refused(NO_REQUEST, "send one message of JSON-RPC, an object")
    if "id" not in asked and "method" in asked:
        return None
    try:
        return Asked.model_validate(asked)
    except ValidationError as error:
        raise Refused(NO_REQUEST, f"this is no request of JSON-RPC: {faults(error)}") from None


def _version(request: Request) -> str:
    version = request.headers.get(VERSION_HEADER, HANDSHAKES[-1])
    if version not in SPOKEN:
        data = {"supported": list(SPOKEN), "requested": version[:100]}
        raise Refused(OTHER_VERSION, "this protocol version is not spoken here", data=data)
    return version


def _check_headers(request: Request, asked: Asked) -> None:
    """They are for proxies to route by: they have to say what the body says."""
    meta = asked.params.get("_meta")
    if not isinstance(meta, dict) or f"{META}clientCapabilities" not in meta:
        need = f"{META}protocolVersion and {META}clientCapabilities"
        raise Refused(NO_PARAMS, f"params._meta needs {need}")
    said = {VERSION_HEADER: meta.get(f"{META}protocolVersion"), METHOD_HEADER: asked.method}
    if asked.method == "tools/call":
        said[NAME_HEADER] = asked.params.get("name")
    for name, value in said.items():
        if request.headers.getlist(name) != [value]:
            raise Refused(OTHER_HEADERS, f"the header {name} is not what the body says")


async def _result(request: Request, asked: Asked, *, is_alone: bool) -> dict[str, Any]:
    match asked.method:
        case "initialize" if not is_alone:
            return _introduced(asked.params.get("protocolVersion"))
        case "server/discover" if is_alone:
            result = _presented() | {"supportedVersions": list(SPOKEN)} | _kept()
        case "tools/list":
            result = _offered(request) | (_kept() if is_alone else {})
        case "tools/call":
            result = await _called(request, asked.params)
        case "ping":
            result = {}
        case method:
            text = f"there is no method {method!r} here: tools are listed and called"
            raise Refused(NO_METHOD, text, status=404 if is_alone else 200)
    if is_alone:
        result |= {"resultType": "complete", "_meta": {f"{META}serverInfo": _server()}}
    return result


def _introduced(version: object) -> dict[str, Any]:
    """The answer to `initialize`: the version that the client wants, or the newest of ours."""
    agreed = version if version in HANDSHAKES else HANDSHAKES[0]
    return {"protocolVersion": agreed, "serverInfo": _server()} | _presented()


def _presented() -> dict[str, Any]:
    return {"capabilities": {"tools": {}}, "instructions": INSTRUCTIONS}


def _server() -> dict[str, str]:
    known = about()
    return {"name": known.slug, "title": known.name, "version": known.version}


def _kept() -> dict[str, Any]:
    """How long a client may keep it, and that it is for this key alone."""
    return {"ttlMs": LISTED_MS, "cacheScope": "private"}


def _offered(request: Request) -> dict[str, Any]:
    from .offers import OFFERS

    scopes = request.state.caller.scopes
    return {"tools": [offer.described() for offer in OFFERS.values() if offer.right in scopes]}


async def _called(request: Request, params: dict[str, Any]) -> dict[str, Any]:
    """What the tool gives, or in one line why not: that is for the client's model to read."""
    from .offers import OFFERS, Door

    try:
        called = Called.model_validate(params)
    except ValidationError as error:
        raise Refused(NO_PARAMS, f"tools/call: {faults(error)}", status=200) from None
    if (offer := OFFERS.get(called.name)) is None:
        text = f"there is no tool {called.name!r}: only {', '.join(OFFERS)}"
        raise Refused(NO_PARAMS, text, status=200)
    state = request.state
    try:
        check_scope(state.caller, offer.right)
        given = offer.takes.model_validate(called.arguments)
        door = Door(state.service, state.caller, state.allowances, state.stopping)
        made = (await offer.act(door, given)).model_dump(mode="json")
    except ValidationError as error:
        return _text(faults(error), is_error=True)
    except AppError as error:
        return _text(outside(error), is_error=True)
    return _text(json.dumps(made, ensure_ascii=False)) | {"structuredContent": made}


def faults(error: ValidationError) -> str:
    """What does not fit, in one line."""
    return "; ".join(f"{where(e['loc'])}: {e['msg']}" for e in error.errors())


def _text(text: str, *, is_error: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": is_error}


def _message(status: int, told: dict[str, Any]) -> Response:
    """In ASCII: what a client sends back to itself may be no text that UTF-8 can hold."""
    content = json.dumps({"jsonrpc": "2.0", **told})
    return Response(content, status, media_type="application/json")

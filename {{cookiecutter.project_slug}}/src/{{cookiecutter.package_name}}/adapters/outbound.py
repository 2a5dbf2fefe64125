"""HTTP to places that others choose: what tools fetch, and where webhooks go (SSRF).

A name is resolved here, its addresses are checked, and the connection goes to the very address that
was checked: a name server that changes its answer in between is not asked again. TLS still
verifies the name. Each redirect is a request of its own, and so is checked alike.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any, cast

import httpx2

from ..about import about
from ..agent.tools import ToolError
from .addresses import is_address, is_public, may_be_public
from .trust import trust

PORTS = {"http": 80, "https": 443}
SECONDS = 20.0
MOST_BYTES = 5_000_000
MOST_REDIRECTS = 5
MOST_ADDRESSES = 3
SHOWN = 100
ALLOW = "Who runs this service may allow it by OUTBOUND_ALLOW"
LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=0)
"""No connection is used twice: a second name of the same address would not be verified."""
NO_COOKIES = DefaultCookiePolicy(allowed_domains=())
"""One client serves all sessions, and what one of them is given is not for another."""
Place = tuple[str, int]
Resolve = Callable[[str, int], Awaitable[list[str]]]


class Refused(ToolError):
    """It was not asked, or its answer not taken, by a rule of ours."""


class Unresolved(Refused):
    """Its name has no address, or none just now: another try may find one."""


class Guard(httpx2.AsyncBaseTransport):
    """Lets a request out to a public address on a port of the web, or to what is allowed."""

    def __init__(
        self, inner: httpx2.AsyncBaseTransport, *, allowed: frozenset[Place], resolve: Resolve
    ) -> None:
        self._inner = inner
        self._allowed = allowed
        self._resolve = resolve

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host, addresses = await self._checked(request.url)
        fault: Exception = Unresolved(f"{host[:SHOWN]} has no address")
        for address in addresses[:MOST_ADDRESSES]:
            try:
                response = await self._inner.handle_async_request(_pinned(request, host, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                fault = error
            else:
                return await _bounded(response, host)
        raise fault

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _checked(self, url: httpx2.URL) -> tuple[str, list[str]]:
        """The host, and where to ask for it: all its addresses are public, or none is used."""
        if url.scheme not in PORTS or not url.host:
            raise Refused(f"{url.scheme}://{url.host} is no http:// or https:// URL"[:SHOWN])
        host = normal(url.raw_host.decode())
        port = PORTS[url.scheme] if url.port is None else url.port
        shown = host[:SHOWN]
        if url.userinfo:
            raise Refused(f"{shown} is not asked with a user in its URL: leave that out")
        if (host, port) in self._allowed:
            return host, await self._addresses(host, port)
        if port not in PORTS.values():
            raise Refused(f"{shown}:{port} is not asked, only ports 80 and 443 are. {ALLOW}")
        said = f"{shown} has no public address. {ALLOW}"  # of both: what is inside is nobody's
        if not may_be_public(host):
            raise Refused(said)
        if not (addresses := await self._addresses(host, port)):
            raise Unresolved(said)
        if not all(map(is_public, addresses)):
            raise Refused(said)
        return host, addresses

    async def _addresses(self, host: str, port: int) -> list[str]:
        return [host] if is_address(host) else await self._resolve(host, port)


class Http(httpx2.AsyncClient):
    """A client for whatever URL; what goes wrong is one line that a model may read."""

    def build_request(self, method: str, url: httpx2.URL | str, **given: Any) -> httpx2.Request:
        try:
            return super().build_request(method, url, **given)
        except httpx2.InvalidURL as error:
            raise Refused(f"{str(url)[:SHOWN]!r} is no URL: {error}") from None

    async def send(self, request: httpx2.Request, **given: Any) -> httpx2.Response:
        """The answer, after every redirect, read to its end unless it is to be streamed."""
        shown = request.url.host[:SHOWN]
        try:
            async with asyncio.timeout(SECONDS):
                return await super().send(request, **given)
        except TimeoutError:
            raise ToolError(f"{shown} gave no answer within {SECONDS:g} s") from None
        except httpx2.RequestError as error:
            what = f"{shown} gave no answer: {error or type(error).__name__}"
            raise ToolError(what) from error


class Bounded(httpx2.AsyncByteStream):
    """A body, as long as it is not too long."""

    def __init__(self, stream: httpx2.AsyncByteStream, host: str) -> None:
        self._stream = stream
        self._host = host

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MOST_BYTES:
                raise Refused(f"{self._host[:SHOWN]} answers with more than {MOST_BYTES:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def make_http(
    allow: str, *, resolve: Resolve | None = None, inner: httpx2.AsyncBaseTransport | None = None
) -> Http:
    """A client that goes to public addresses, and to the places of OUTBOUND_ALLOW."""
    inner = inner or httpx2.AsyncHTTPTransport(trust(), trust_env=False, limits=LIMITS)
    return Http(
        transport=Guard(inner, allowed=places(allow), resolve=resolve or look_up),
        trust_env=False,  # a proxy would resolve names for itself, and .netrc holds passwords
        follow_redirects=True,
        max_redirects=MOST_REDIRECTS,
        timeout=httpx2.Timeout(SECONDS, connect=5),
        headers={"Accept-Encoding": "identity", "User-Agent": about().slug},
        cookies=CookieJar(NO_COOKIES),
    )


def places(text: str) -> frozenset[Place]:
    """As OUTBOUND_ALLOW names them: host:port, separated by commas."""
    split = (place.rpartition(":") for place in text.split(",") if place)
    return frozenset((normal(host.strip("[]")), int(port)) for host, _, port in split)


def normal(host: str) -> str:
    """One form for each host."""
    return str(ip_address(host)) if is_address(host) else host.lower().rstrip(".")


async def look_up(host: str, port: int) -> list[str]:
    """The addresses that this machine knows of a name."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def _pinned(request: httpx2.Request, host: str, address: str) -> httpx2.Request:
    """The same request to this address; TLS and the Host header keep the name."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )


async def _bounded(response: httpx2.Response, host: str) -> httpx2.Response:
    """Compressed, a small answer could become any size; nobody asked for that."""
    if response.headers.get("content-encoding", "identity") != "identity":
        await response.aclose()
        raise Refused(f"{host[:SHOWN]} answers in a compressed form, which was not asked for")
    response.stream = Bounded(cast("httpx2.AsyncByteStream", response.stream), host)
    return response

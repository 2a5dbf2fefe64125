"""The models of providers over HTTP: one request, and a stream of events. Nothing is repeated here.

Without the providers' own clients, which take seconds to import and most of a call's time.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from itertools import cycle
from typing import Any, Protocol

import httpx2
from genai_prices import Usage as Counted
from genai_prices import calc_price
from pydantic_core import from_json

from ..agent.events import Usage, as_json
from ..agent.ports import Answer, Replied, Request
from . import anthropic, openai
from .answers import Failure, estimated
from .draft import Draft
from .trust import trust

log = logging.getLogger(__name__)

TIMEOUT = httpx2.Timeout(None, connect=5)  # what else takes long is bounded by the runtime
POOL_SIZE = 5
LIMITS = httpx2.Limits(max_connections=2000, max_keepalive_connections=500, keepalive_expiry=15)
NO_KEY = "no-key-is-set"
DONE = "[DONE]"
REFUSED = {401, 403}
PASSING = {408, 409, 429}
SERVER_ERROR = 500
LASTING = {
    "authentication_error",
    "billing_error",
    "insufficient_quota",
    "invalid_request_error",
    "not_found_error",
    "permission_error",
}
"""What a provider calls the errors that are the same the next time, whatever their status."""
ERROR_BYTES, REASON_LENGTH = 64_000, 200


class Format(Protocol):
    """What the requests and the events of a provider look like on the wire."""

    URL: str
    PATH: str
    REFUSAL: str
    CUT: str

    def headers(self, key: str) -> dict[str, str]: ...
    def body(self, model: str, request: Request) -> dict[str, Any]: ...
    def hear(self, event: dict[str, Any], draft: Draft) -> None:
        """Puts what the event brings into the draft."""


FORMATS: dict[str, Format] = {"openai": openai, "anthropic": anthropic}


@dataclass(frozen=True)
class Account:
    """Where a provider is and what opens it; a server of one's own may need no key."""

    key: str | None = None
    url: str | None = None


class Spread(httpx2.AsyncBaseTransport):
    """Several pools in turn: a single one looks at all of its connections for each request."""

    def __init__(self, pools: int) -> None:
        self._pools = [httpx2.AsyncHTTPTransport(trust(), limits=LIMITS) for _ in range(pools)]
        self._turns = cycle(self._pools)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await next(self._turns).handle_async_request(request)

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()


@dataclass(frozen=True, kw_only=True)
class ProviderModel:
    """One model of a provider. Whatever goes wrong with it is a Failure."""

    provider: str
    model: str
    speaks: Format
    client: httpx2.AsyncClient
    url: str
    key: str
    temperature: float | None = None

    @property
    def name(self) -> str:
        return f"{self.provider}:{self.model}"

    async def answer(self, request: Request, *, on_text: Callable[[str], None]) -> Answer:
        body, draft = self.speaks.body(self.model, request), Draft(on_text)
        if self.temperature is not None:
            body["temperature"] = self.temperature
        try:
            async with self.client.stream("POST", self.url, content=as_json(body)) as response:
                if not response.is_success:
                    raise failure(await _start(response), response, key=self.key)
                async for event in httpx2.EventSource(response):
                    if event.data != DONE:
                        self.speaks.hear(read(event.data, key=self.key), draft)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            why = f"it sent what is no answer: {type(error).__name__}: {error}"
            raise Failure(why[:REASON_LENGTH], is_passing=True) from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            why = f"the connection failed: {error or type(error).__name__}"
            raise Failure(why, is_passing=True) from error
        return self._whole(draft, request)

    def _whole(self, draft: Draft, request: Request) -> Answer:
        reply = draft.reply
        if draft.stop == self.speaks.REFUSAL and reply == Replied(""):
            raise Failure("it refuses to answer that")
        if not draft.stop:  # a connection that is cut may look like an end
            raise Failure("its answer broke off", is_passing=True)
        if draft.stop == self.speaks.CUT:
            raise Failure("its answer was cut off at the most that it says at once")
        usage = self._priced(draft) if draft.usage.tokens else estimated(request, reply)
        return Answer(reply.text, reply.calls, usage, self.name)

    def _priced(self, draft: Draft) -> Usage:
        usage = draft.usage
        counted = Counted(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=draft.written,
        )
        try:
            price = calc_price(counted, self.model, provider_id=self.provider)
        except (LookupError, ValueError):
            _unpriced(self.name)
            return usage
        return usage.model_copy(update={"cost": price.total_price})


class Providers:
    """The providers that are asked for, with one HTTP client each, which `closing` will close."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        *,
        temperature: float | None,
        in_flight: int,
        closing: AsyncExitStack,
    ) -> None:
        self._accounts = accounts
        self._temperature = temperature
        self._pools = 1 + in_flight // POOL_SIZE
        self._closing = closing
        self._client = cache(self._make_client)

    def model(self, provider: str, name: str) -> ProviderModel:
        speaks = FORMATS[provider]
        url = (self._accounts[provider].url or speaks.URL).rstrip("/") + speaks.PATH
        return ProviderModel(
            provider=provider,
            model=name,
            speaks=speaks,
            client=self._client(provider),
            url=url,
            key=self._key(provider),
            temperature=self._temperature,
        )

    def _make_client(self, provider: str) -> httpx2.AsyncClient:
        headers = FORMATS[provider].headers(self._key(provider))
        headers |= {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        mounts = {"all://": Spread(self._pools)}
        client = httpx2.AsyncClient(verify=trust(), timeout=TIMEOUT, mounts=mounts, headers=headers)
        self._closing.push_async_callback(client.aclose)
        return client

    def _key(self, provider: str) -> str:
        account = self._accounts[provider]
        variable = f"{provider.upper()}_API_KEY"
        if account.key is None and account.url is None:
            raise ValueError(f"it needs {variable}, which is not set")
        key = account.key or NO_KEY
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError(f"{variable} holds a blank, or a character that no key has")
        return key


@cache
def _unpriced(name: str) -> None:
    """Said once: no budget of dollars stops what costs nothing."""
    log.warning("model is in no price list", extra={"model": name})


async def _start(response: httpx2.Response) -> bytes:
    """As much of the body as may be needed to say what is wrong."""
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > ERROR_BYTES:
            break
    return body


def read(data: str, *, key: str) -> dict[str, Any]:
    """An event; a Failure where that is what it tells of."""
    try:
        event = from_json(data)
    except ValueError:
        raise Failure("it sent an event that is no JSON", is_passing=True) from None
    if isinstance(event, dict) and not event.get("error"):
        return event
    raise failure(data.encode(), key=key)


def failure(body: bytes, response: httpx2.Response | None = None, *, key: str) -> Failure:
    """In one line that may be shown to anyone: what is said of a key is left out."""
    kinds, words = _said(body)
    said = " ".join(words.replace(key, "***").split())[:REASON_LENGTH]
    if response is None:
        return Failure(said or "it failed", is_passing=not kinds & LASTING)
    status = response.status_code
    if status in REFUSED:
        said = "the key is refused, or may not use this model"
    return Failure(
        f"HTTP {status}, {said or response.reason_phrase}",
        is_passing=(status in PASSING or status >= SERVER_ERROR) and not kinds & LASTING,
        retry_after=retry_after(response.headers),
    )


def _said(body: bytes) -> tuple[set[str], str]:
    """What kind of error the provider calls it, and its own words."""
    try:
        parsed = from_json(body)
    except ValueError:
        return set(), body.decode(errors="replace")
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    if not isinstance(error, dict):
        return set(), str(error)
    kinds = {str(error.get("type")), str(error.get("code"))}
    return kinds, str(error.get("message") or "")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, or a date."""
    if (said := headers.get("retry-after")) is None:
        return None
    try:
        return float(said) if said.isdecimal() else _until(parsedate_to_datetime(said))
    except ValueError:
        return None


def _until(when: datetime) -> float:
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())

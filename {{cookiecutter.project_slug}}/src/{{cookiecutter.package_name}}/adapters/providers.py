"""The models of providers, through pydantic-ai's model classes alone: prompts and retries are ours.

An SDK takes seconds and tens of megabytes, so each is imported only when its model is asked for.
"""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import cycle
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

import httpx2
from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import (
    AgentRunError,
    ContentFilterError,
    ModelAuthenticationError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    UserError,
)
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from ..agent.ports import Answer, Replied, Request
from . import translation
from .answers import Failure

if TYPE_CHECKING:
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider

TIMEOUT = httpx2.Timeout(None, connect=5)  # what else takes long is bounded by the runtime
POOL_SIZE = 25
LIMITS = httpx2.Limits(max_connections=2000, max_keepalive_connections=500, keepalive_expiry=15)
URLS = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
NO_KEY = "no-key-is-set"
LASTING = (ModelRequestRejectedError, ModelQuotaExceededError, ContentFilterError, UserError)
PASSING = {408, 409, 429}
SERVER_ERROR = 500
REASON_LENGTH = 200


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


class ProviderModel:
    """One model of a provider. Whatever goes wrong with it is a Failure."""

    def __init__(self, name: str, model: Model[Any], settings: ModelSettings, *, key: str) -> None:
        self.name = name
        self._model = model
        self._settings = settings
        self._key = key

    async def answer(self, request: Request, *, on_text: Callable[[str], None]) -> Answer:
        try:
            response = await self._stream(request, on_text)
        except (AgentRunError, UserError) as error:
            raise _failure(error, self._key) from error
        reply = translation.reply(response)
        if response.finish_reason == "content_filter" and reply == Replied(""):
            raise Failure("it refuses to answer that")
        if not _is_whole(response):
            raise Failure("its answer broke off", is_passing=True)
        usage = translation.usage(response, request)
        return Answer(reply.text, reply.calls, usage, self.name)

    async def _stream(self, request: Request, on_text: Callable[[str], None]) -> ModelResponse:
        async with model_request_stream(
            self._model,
            translation.messages(request),
            model_settings=self._settings,
            model_request_parameters=translation.parameters(request),
        ) as stream:
            async for event in stream:
                if piece := translation.text(event):
                    on_text(piece)
            return stream.get()


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
        self._pools = 1 + in_flight // POOL_SIZE
        self._closing = closing
        self._settings = ModelSettings()
        if temperature is not None:
            self._settings["temperature"] = temperature

    def openai(self, name: str) -> ProviderModel:
        from pydantic_ai.models.openai import OpenAIChatModel

        model = OpenAIChatModel(name, provider=self._openai)
        return ProviderModel(f"openai:{name}", model, self._settings, key=self._key("openai"))

    def anthropic(self, name: str) -> ProviderModel:
        """With its cache on, which others use unasked: the beginning stays the same for long."""
        from pydantic_ai.models.anthropic import AnthropicModel

        model = AnthropicModel(name, provider=self._anthropic)
        settings = ModelSettings(**self._settings, cache=True)
        return ProviderModel(f"anthropic:{name}", model, settings, key=self._key("anthropic"))

    @cached_property
    def _openai(self) -> "OpenAIProvider":
        from openai import AsyncOpenAI
        from pydantic_ai.providers.openai import OpenAIProvider

        return OpenAIProvider(openai_client=AsyncOpenAI(**self._access("openai")))

    @cached_property
    def _anthropic(self) -> "AnthropicProvider":
        from anthropic import AsyncAnthropic
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicProvider(anthropic_client=AsyncAnthropic(**self._access("anthropic")))

    def _access(self, provider: str) -> dict[str, Any]:
        """What an SDK's client is made of: nothing is left for it to find in the environment."""
        key = self._key(provider)
        mounts = {"all://": Spread(self._pools)}
        client = httpx2.AsyncClient(verify=trust(), timeout=TIMEOUT, mounts=mounts)
        self._closing.push_async_callback(client.aclose)
        return {
            "api_key": key,
            "base_url": self._accounts[provider].url or URLS[provider],
            "max_retries": 0,
            "timeout": TIMEOUT,
            "http_client": client,
        }

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
def trust() -> SSLContext:
    """The machine's certificates: reading them takes longer than all else that a client needs."""
    return httpx2.create_ssl_context()


def _is_whole(response: ModelResponse) -> bool:
    """It came with a reason to end: a connection that is cut may look like an end."""
    return "finish_reason" in (response.provider_details or {})


def _failure(error: Exception, key: str) -> Failure:
    """In one line that may be shown to anyone: what is said of a key is left out."""
    status = error.status_code if isinstance(error, ModelHTTPError) else None
    if isinstance(error, ModelAuthenticationError):
        said = "the key is refused, or may not use this model"
    else:
        said = _said(error, key)
    return Failure(
        f"HTTP {status}, {said}" if status else said,
        is_passing=not isinstance(error, LASTING)
        and (status is None or status in PASSING or status >= SERVER_ERROR),
        retry_after=getattr(error, "retry_after", None),
    )


def _said(error: Exception, key: str) -> str:
    """The provider's own words, on one line."""
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        body = inner.get("message") if isinstance(inner, dict) else inner
    words = str(body or getattr(error, "message", error)).replace(key, "***").split()
    return " ".join(words)[:REASON_LENGTH] or type(error).__name__

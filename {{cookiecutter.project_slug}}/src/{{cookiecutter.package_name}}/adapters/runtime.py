"""The model runtime: a primary and its fallbacks, asked in turn until one answers or time is up."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from pydantic import SecretStr

from ..about import about
from ..agent.ports import Answer, Named, Request
from ..errors import ConfigError, ModelError
from ..settings import Settings
from .answers import Failure
from .caps import PostgresCap, Uncapped
from .embedded import resolve
from .scripted import first_script, make_scripted

if TYPE_CHECKING:
    from .providers import Providers

log = logging.getLogger(__name__)

TRIES = 4
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0
AGAIN = "\n\n"


class Cap(Protocol):
    """How many requests may be with a provider at once, and which model wants to be left alone."""

    def slot(self, model: str) -> AbstractAsyncContextManager[None]:
        """Waits for a free one; a Failure where the model is cooling down."""

    def cool_down(self, model: str, seconds: float) -> None: ...


@dataclass(kw_only=True)
class Runtime:
    """The Model of this service.

    Each model has an equal part of the time that is left, the last one all of it: one that hangs
    leaves time for those after it. Within its part it is tried again where a failure may pass,
    after the wait that it asks for; where that is too long, the next one is asked at once.
    """

    models: Sequence[Named]
    """Each raises a Failure where another try may do better."""
    seconds: float
    cap: Cap = field(default_factory=Uncapped)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    random: Callable[[], float] = random.random
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    on_failure: Callable[[str], None] = lambda _: None
    """Told the model of each try that failed."""

    async def answer(self, request: Request, *, on_text: Callable[[str], None]) -> Answer:
        until = self.clock() + self.seconds
        telling, errors = Telling(on_text), dict[str, ModelError]()
        for place, model in enumerate(self.models):
            now = self.clock()
            part = (until - now) / (len(self.models) - place)
            try:
                return await self._ask(model, request, telling, until=now + part)
            except ModelError as error:
                errors[model.name] = error
        waits = [error.retry_after for error in errors.values() if error.retry_after]
        why = "; ".join(f"{name}: {error}" for name, error in errors.items())
        raise ModelError(why, retry_after=min(waits, default=None))

    async def close(self) -> None:
        await self.closing.aclose()

    async def _ask(
        self, model: Named, request: Request, telling: "Telling", *, until: float
    ) -> Answer:
        tries = 0
        while True:
            tries += 1
            telling.begin()
            try:
                return await self._try(model, request, telling, seconds=until - self.clock())
            except ModelError as error:
                log.warning("model failed", extra={"model": model.name, "error": str(error)})
                self.on_failure(model.name)
                wait = self._wait(error, tries)
                if wait is None or self.clock() + wait >= until:
                    raise
            await self.sleep(wait)

    async def _try(
        self, model: Named, request: Request, telling: "Telling", *, seconds: float
    ) -> Answer:
        try:
            async with asyncio.timeout(seconds), self.cap.slot(model.name):
                try:
                    return await model.answer(request, on_text=telling)
                except Failure as failure:
                    if failure.retry_after:
                        self.cap.cool_down(model.name, failure.retry_after)
                    raise
        except TimeoutError:
            raise Failure(f"no answer within {seconds:.3g} s") from None

    def _wait(self, error: ModelError, tries: int) -> float | None:
        """Up to a bound that doubles, so that who failed together does not return together."""
        if not (isinstance(error, Failure) and error.is_passing and tries < TRIES):
            return None
        bound: float = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1))
        return (error.retry_after or 0) + self.random() * bound


class Telling:
    """Passes text on as it comes. After a try that broke off, the next begins with a blank line.

    What was told stays told; the answer that is stored in the end is that of the last try alone.
    """

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text
        self._has_told = False
        self._begins_anew = False

    def begin(self) -> None:
        self._begins_anew = self._has_told

    def __call__(self, text: str) -> None:
        if self._begins_anew:
            self._on_text(AGAIN)
        self._has_told, self._begins_anew = True, False
        self._on_text(text)


def make_model(settings: Settings, *, anthropic_base_url: str | None = None) -> Runtime:
    """The runtime of MODEL and MODEL_FALLBACKS; a ConfigError names each that can't be used."""
    makers = Makers(settings, anthropic_base_url=anthropic_base_url)
    models, faults = list[Named](), list[str]()
    for variable, value in _asked_for(settings):
        try:
            models.append(makers.make(value))
        except ValueError as error:
            faults.append(f"{variable}={value} is not usable: {error}")
    if faults:
        raise ConfigError(*faults)
    runtime = Runtime(models=models, seconds=settings.model_timeout, closing=makers.closing)
    if settings.model_concurrency:
        runtime.cap = cap = PostgresCap(
            resolve(settings.direct_url.get_secret_value()),
            slots=settings.model_concurrency,
            application=f"{about().slug}:model",
        )
        runtime.closing.push_async_callback(cap.close)
    return runtime


class Makers:
    """Makes the model that a PROVIDER:NAME asks for."""

    def __init__(self, settings: Settings, *, anthropic_base_url: str | None) -> None:
        self._settings = settings
        self._anthropic_base_url = anthropic_base_url
        self.closing = AsyncExitStack()

    def make(self, value: str) -> Named:
        match value.partition(":"):
            case "scripted", _, name if name:
                return make_scripted(name)
            case "openai" | "anthropic" as provider, _, name if name:
                return self._providers.model(provider, name)
        raise ValueError("expected scripted:NAME, openai:NAME or anthropic:NAME")

    @cached_property
    def _providers(self) -> "Providers":
        from .providers import Account, Providers

        given = self._settings
        accounts = {
            "openai": Account(_plain(given.openai_api_key), given.openai_base_url),
            "anthropic": Account(_plain(given.anthropic_api_key), self._anthropic_base_url),
        }
        temperature = given.model_temperature
        return Providers(
            accounts,
            temperature=temperature,
            in_flight=given.worker_concurrency,
            closing=self.closing,
        )


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _asked_for(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "MODEL", settings.model.strip() or f"scripted:{settings.default_agent or first_script()}"
    for name in settings.model_fallbacks.split(","):
        if name.strip():
            yield "MODEL_FALLBACKS", name.strip()

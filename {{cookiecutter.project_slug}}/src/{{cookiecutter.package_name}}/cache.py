"""What is slow to get is kept for a while, for all processes.

A cache that is away only costs time: what it would have kept is got anew.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import wraps
from hashlib import sha256
from inspect import Signature, signature
from time import monotonic
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from .errors import Unavailable

log = logging.getLogger(__name__)

REST_SECONDS = 5.0
"""A cache that is away is left alone for so long: else each call would wait for it in vain."""
P = ParamSpec("P")
T = TypeVar("T")
Function = Callable[P, Coroutine[Any, Any, T]]


class Cache(Protocol):
    """Bytes by a key, gone after their time."""

    async def get(self, key: str) -> bytes | None: ...
    async def put(self, key: str, value: bytes, *, seconds: float) -> None: ...
    async def delete(self, key: str) -> None: ...

    async def expire(self) -> int:
        """Forgets what is over, where the store does not by itself; how many."""


@dataclass
class Flight(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0


class Flights(Generic[T]):
    """Of all who want the same at once one gets it, for the others too."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight[T]] = {}

    async def join(self, key: str, get: Callable[[], Coroutine[Any, Any, T]]) -> T:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(asyncio.create_task(get()))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                flight.task.cancel()  # for where nobody waits any more
                del self._flights[key]


@dataclass
class Cached:
    """Makes a function remember its results: `@cached(seconds=60)` over an `async def`."""

    cache: Cache
    ttl: float
    clock: Callable[[], float] = monotonic
    _away_until: float = field(default=0, init=False)
    _was_away: bool = field(default=False, init=False)

    def __call__(
        self, *, seconds: float | None = None
    ) -> Callable[[Function[P, T]], Function[P, T]]:
        """By the function and its arguments; these and the result have to be fit for JSON."""

        def decorate(function: Function[P, T]) -> Function[P, T]:
            form: TypeAdapter[T] = TypeAdapter(get_type_hints(function).get("return", Any))
            flights, form_of_call = Flights[T](), signature(function)

            @wraps(function)
            async def remembering(*args: P.args, **kwargs: P.kwargs) -> T:
                key = f"{_name(function)}:{_digest(form_of_call, *args, **kwargs)}"

                async def get() -> T:
                    if kept := await self._kept(key, form):
                        return kept[0]
                    got = await function(*args, **kwargs)
                    value, ttl = form.dump_json(got), seconds or self.ttl
                    await self._reach(lambda: self.cache.put(key, value, seconds=ttl))
                    return got

                return await flights.join(key, get)

            return remembering

        return decorate

    async def _kept(self, key: str, form: TypeAdapter[T]) -> tuple[T] | None:
        value = await self._reach(lambda: self.cache.get(key))
        if value is None:
            return None
        try:
            return (form.validate_json(value),)
        except ValidationError:  # of a release whose results had another form
            return None

    async def _reach(self, act: Callable[[], Awaitable[T]]) -> T | None:
        if self.clock() < self._away_until:
            return None
        try:
            found = await act()
        except Unavailable as error:
            self._away_until = self.clock() + REST_SECONDS
            if not self._was_away:
                log.warning("cache is away", extra={"error": str(error)})
            self._was_away = True
            return None
        self._was_away = False
        return found


def _name(function: Callable[..., object]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _digest(form: Signature, *args: object, **kwargs: object) -> str:
    """The same for the same arguments, however they are given."""
    given = form.bind(*args, **kwargs)
    given.apply_defaults()
    return sha256(to_json(given.arguments)).hexdigest()

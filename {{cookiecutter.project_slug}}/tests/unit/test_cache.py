"""Functions that remember, over a cache in memory."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from {{ cookiecutter.package_name }}.cache import REST_SECONDS, Cached

from ..fakes import FakeCache


@dataclass
class Version:
    number: str
    tags: list[str]


class Slow:
    """A function that counts how often it is really called."""

    def __init__(self, *, fails: bool = False) -> None:
        self.cache = FakeCache()
        self.cached = Cached(self.cache, ttl=60, clock=lambda: self.cache.now)
        self.calls = 0
        self.fails = fails
        self.go, self.called = asyncio.Event(), asyncio.Event()

    @property
    def function(self) -> Callable[..., Awaitable[Version]]:
        @self.cached()
        async def look_up(name: str, *, deep: bool = False) -> Version:
            self.calls += 1
            self.called.set()
            await self.go.wait()
            if self.fails:
                raise ZeroDivisionError
            return Version(f"{name}-{self.calls}", ["deep"] if deep else [])

        return look_up


def scenario(act: Callable[[Slow], Awaitable[None]], *, fails: bool = False) -> None:
    async def run() -> None:
        slow = Slow(fails=fails)
        slow.go.set()
        await act(slow)

    asyncio.run(run())


def test_a_result_is_kept_by_the_arguments_for_its_time() -> None:
    async def act(slow: Slow) -> None:
        look_up = slow.function
        first = await look_up("a")
        assert first == Version("a-1", [])
        assert [await look_up("a"), await look_up(name="a", deep=False)] == [first, first]
        assert await look_up("b") == Version("b-2", [])
        assert await look_up("a", deep=True) == Version("a-3", ["deep"])
        slow.cache.now = 60
        assert await look_up("a") == Version("a-4", [])
        assert await slow.cache.expire() == 2

    scenario(act)


def test_what_another_process_keeps_is_found() -> None:
    async def act(slow: Slow) -> None:
        assert await slow.function("a") == await slow.function("a")
        assert slow.calls == 1

    scenario(act)


def test_many_at_once_are_one_call() -> None:
    async def act(slow: Slow) -> None:
        slow.go.clear()
        look_up = slow.function
        waiting = [asyncio.ensure_future(look_up("a")) for _ in range(50)]
        await slow.called.wait()
        waiting[0].cancel()
        slow.go.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(results.pop(0), asyncio.CancelledError)
        assert results == [Version("a-1", [])] * 49
        assert (slow.calls, slow.cache.asked) == (1, 2)

    scenario(act)


def test_what_nobody_waits_for_any_more_ends() -> None:
    async def act(slow: Slow) -> None:
        slow.go.clear()
        look_up = slow.function
        for _ in range(2):
            task = asyncio.ensure_future(look_up("a"))
            await slow.called.wait()
            slow.called.clear()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}
        slow.go.set()
        assert (await look_up("a")).number == "a-3"

    scenario(act)


def test_an_error_is_told_to_all_who_wait_and_kept_for_nobody() -> None:
    async def act(slow: Slow) -> None:
        look_up = slow.function
        told = await asyncio.gather(*(look_up("a") for _ in range(5)), return_exceptions=True)
        assert {type(error) for error in told} == {ZeroDivisionError}
        assert (slow.calls, slow.cache.kept) == (1, {})
        slow.fails = False
        assert await look_up("a") == Version("a-2", [])

    scenario(act, fails=True)


def test_a_cache_that_is_away_only_costs_time(caplog: pytest.LogCaptureFixture) -> None:
    async def act(slow: Slow) -> None:
        look_up = slow.function
        slow.cache.is_down = True
        for number in range(1, 5):
            assert await look_up("a") == Version(f"a-{number}", [])
        assert slow.cache.asked == 1, "it is left alone for a while"
        slow.cache.now += REST_SECONDS
        assert await look_up("a") == Version("a-5", [])
        assert slow.cache.asked == 2
        assert caplog.messages == ["cache is away"]
        slow.cache.now += REST_SECONDS
        slow.cache.is_down = False
        assert [await look_up("a"), await look_up("a")] == [Version("a-6", [])] * 2

    with caplog.at_level(logging.WARNING):
        scenario(act)


def test_what_an_older_release_kept_in_another_form_is_got_anew() -> None:
    async def act(slow: Slow) -> None:
        look_up = slow.function
        await look_up("a")
        (key,) = slow.cache.kept
        slow.cache.kept[key] = (b'{"version": 1}', 60)
        assert await look_up("a") == Version("a-2", [])
        assert await look_up("a") == Version("a-2", [])

    scenario(act)


def test_an_argument_that_is_not_fit_for_json_is_an_error_of_the_caller() -> None:
    async def act(slow: Slow) -> None:
        with pytest.raises(ValueError, match="serialize"):
            await slow.function(object())
        assert slow.calls == 0

    scenario(act)

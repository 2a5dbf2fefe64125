"""Writes that go together: each has its own result, and what may be written is not tried again."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from {{ cookiecutter.package_name }}.adapters.together import BATCH, Together
from {{ cookiecutter.package_name }}.errors import Unavailable


def write_all(write: object, *items: str) -> list[object]:
    async def added() -> list[object]:
        together: Together[str, str] = Together(write)  # type: ignore[arg-type]
        return await asyncio.gather(*map(together.add, items), return_exceptions=True)

    return asyncio.run(added())


def test_what_waits_is_written_together_and_a_bad_item_fails_alone() -> None:
    sizes = []

    async def write(batch: Sequence[str]) -> list[str]:
        sizes.append(len(batch))
        if "bad" in batch:
            raise ValueError("one of them")
        return [item.upper() for item in batch]

    items = [*(f"i{n}" for n in range(BATCH)), "bad", "last"]
    told = write_all(write, *items)
    assert isinstance(told[-2], ValueError)
    assert [*told[:-2], told[-1]] == [item.upper() for item in items if item != "bad"]
    assert max(sizes) > 1


def test_who_is_told_and_adds_at_once_is_not_forgotten() -> None:
    """Both writers end in the turn of the loop in which those that they told add more."""

    async def write(batch: Sequence[str]) -> list[str]:
        await asyncio.sleep(0)
        return list(batch)

    async def added() -> list[str]:
        together: Together[str, str] = Together(write)

        async def twice(item: str) -> str:
            return await together.add(await together.add(item))

        async with asyncio.timeout(5):
            return await asyncio.gather(*map(twice, "ab"))

    assert asyncio.run(added()) == ["a", "b"]


def test_what_broke_off_is_not_tried_again() -> None:
    written: list[str] = []

    async def write(batch: Sequence[str]) -> list[str]:
        written.extend(batch)
        raise Unavailable("the answer got lost")

    told = write_all(write, "one", "two", "three")
    assert all(isinstance(error, Unavailable) for error in told)
    assert sorted(written) == ["one", "three", "two"], "each once"


def test_who_has_gone_away_is_not_told() -> None:
    async def scene() -> str:
        going = asyncio.Event()

        async def write(batch: Sequence[str]) -> list[str]:
            await going.wait()
            return list(batch)

        together: Together[str, str] = Together(write)
        gone, stays = (asyncio.ensure_future(together.add(name)) for name in ("gone", "stays"))
        await asyncio.sleep(0)
        gone.cancel()
        going.set()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await stays

    assert asyncio.run(scene()) == "stays"


def test_what_is_written_for_many_is_done_in_the_name_of_none() -> None:
    """Else it would be logged as of the first of them."""
    whose = ContextVar("whose", default="nobody's")
    seen: list[str] = []

    async def write(batch: Sequence[str]) -> list[str]:
        seen.append(whose.get())
        return list(batch)

    async def added() -> str:
        whose.set("mine")
        together: Together[str, str] = Together(write)
        return await together.add("one")

    assert asyncio.run(added()) == "one"
    assert seen == ["nobody's"]

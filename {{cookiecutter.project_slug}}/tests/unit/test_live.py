"""Live news in one process: what is kept, what is dropped, and how it is packed."""

import asyncio
import json

from {{ cookiecutter.package_name }}.adapters.live import MOST_TEXT, Backlog, Mailbox, payloads
from {{ cookiecutter.package_name }}.ports import News

SESSION = "00000000-0000-0000-0000-000000000001"


def told(*items: int | str) -> list[int | str]:
    backlog = Backlog()
    for item in items:
        backlog.add(item)
    return list(backlog)


def test_news_keep_their_order_and_go_together_where_they_may() -> None:
    assert told("a", "b", 3, 5, "c", "", "d", 6) == ["ab", 5, "cd", 6]
    assert told(6, 5, "x", 4) == [6, "x", 4]


def test_look_yourself_outlasts_every_place() -> None:
    assert told(3, 0, 4) == [0]


def test_too_much_text_is_dropped_and_never_the_newest_place() -> None:
    backlog = Backlog()
    for seq in range(1, 10_000):
        backlog.add("x" * 100)
        backlog.add(seq)
    kept = list(backlog)
    assert sum(len(item) for item in kept if isinstance(item, str)) == MOST_TEXT
    assert kept[-1] == 9_999
    assert len(kept) == 2 * MOST_TEXT // 100
    backlog.add("room again")
    assert list(backlog) == ["room again"]


def test_a_watcher_is_told_of_each_place_once() -> None:
    async def act() -> None:
        mailbox = Mailbox()
        for item in (2, 2, 1, "text", 2, 3, 0, 0):
            mailbox.put(item)
        heard = [await mailbox.next(0) for _ in range(4)]
        assert heard == [News(seq=2), News(text="text"), News(seq=0), None]
        mailbox.put(3)
        assert await mailbox.next(0.01) is None
        asyncio.get_running_loop().call_later(0.01, mailbox.put, 4)
        assert await mailbox.next(10) == News(seq=4)

    asyncio.run(act())


def test_payloads_are_few_different_and_each_fits_a_notify() -> None:
    news: list[tuple[str, int | str]] = [(SESSION, seq) for seq in range(1, 301)]
    news += [(SESSION, "same " * 2000), (SESSION, "\U0001f600" * 1000), (SESSION, '"\\' * 1000)]
    packed = payloads(news)
    assert all(len(payload.encode()) < 8000 for payload in packed)
    assert len(packed) == len(set(packed)) < 10
    entries = [entry for payload in packed for entry in json.loads(payload)[1:]]
    assert [item for _, item in entries if isinstance(item, int)] == list(range(1, 301))
    texts = "".join(item for _, item in entries if isinstance(item, str))
    assert texts == "".join(item for _, item in news if isinstance(item, str))

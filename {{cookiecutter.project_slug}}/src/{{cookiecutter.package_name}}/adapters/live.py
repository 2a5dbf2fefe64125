"""What happens, told from process to process while it happens: NOTIFY here, LISTEN there.

News are hints and may be lost; the store knows the truth. So whoever watches is told every now and
then how far the session is in the store, and at once after a connection had to be made anew.
"""

import asyncio
import json
import logging
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from time import monotonic

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from ..agent.events import storable
from ..ports import News
from .postgres import connect

log = logging.getLogger(__name__)

CHANNEL = "live"
PAYLOAD_BYTES = 7_900  # NOTIFY takes less than 8,000
PIECE = 600  # characters: as JSON in ASCII each takes 12 bytes at most
MOST_TEXT = 20_000
GATHER_SECONDS, EACH_SECONDS = 0.02, 0.004
LOOK_SECONDS = 2.0
ANSWER_SECONDS = 5.0
LEAST_WAIT, LONGEST_WAIT = 0.1, 5.0
NOTIFY = f"SELECT pg_notify('{CHANNEL}', payload) FROM unnest(%s::text[]) AS payload"
PLACES = "SELECT id::text, seq FROM sessions WHERE id = ANY(%s::uuid[])"

Item = int | str
"""The newest place in a session, 0 for "look yourself"; or text that the model is saying."""
Connection = AsyncConnection[DictRow]


class Backlog:
    """News of one session, in order: the newest place always, text while there is room for it."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._room = MOST_TEXT

    def __bool__(self) -> bool:
        return bool(self._items)

    def __iter__(self) -> Iterator[Item]:
        while self._items:
            yield self.pop()

    def add(self, item: Item) -> None:
        last = self._items[-1] if self._items else ""
        if isinstance(item, str):
            if 0 < len(item) <= self._room:
                self._room -= len(item)
                self._items.append(item)
        elif isinstance(last, int):
            self._items[-1] = min(item, last) and max(item, last)
        else:
            self._items.append(item)

    def pop(self) -> Item:
        """The next place, or all the text before it."""
        item = self._items.popleft()
        if isinstance(item, int):
            return item
        texts = [item]
        while self._items and isinstance(text := self._items[0], str):
            texts.append(text)
            self._items.popleft()
        text = "".join(texts)
        self._room += len(text)
        return text


class Mailbox:
    """What one watcher has not heard yet."""

    def __init__(self) -> None:
        self._backlog = Backlog()
        self._filled = asyncio.Event()
        self._newest = 0

    def put(self, item: Item) -> None:
        if isinstance(item, int) and item:
            if item <= self._newest:
                return
            self._newest = item
        self._backlog.add(item)
        self._filled.set()

    async def next(self, seconds: float) -> News | None:
        if not self._backlog:
            self._filled.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._filled.wait()
            except TimeoutError:
                return None
        item = self._backlog.pop()
        return News(text=item) if isinstance(item, str) else News(seq=item)


class PostgresLive:
    """Tells on one connection, hears on another: past any pooler, outside every transaction."""

    def __init__(self, url: str, *, application: str) -> None:
        self._url = url
        self._application = application
        self._news: defaultdict[str, Backlog] = defaultdict(Backlog)
        self._has_news = asyncio.Event()
        self._watches: defaultdict[str, set[Mailbox]] = defaultdict(set)
        self._is_watched = asyncio.Event()
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Connects to nothing before there is something to tell, or somebody who watches."""
        publisher = self._connected_when(self._has_news, self._publish)
        listener = self._connected_when(self._is_watched, self._listen)
        self._tasks = [asyncio.create_task(publisher), asyncio.create_task(listener)]

    async def close(self) -> None:
        """What has been told still goes out, if the database is there."""
        self._closing = True
        self._has_news.set()
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=LOOK_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def tell(self, session_id: str, seq: int) -> None:
        self._news[session_id].add(seq)
        self._has_news.set()

    def token(self, session_id: str, text: str) -> None:
        self._news[session_id].add(str(storable(text)))
        self._has_news.set()

    def wake(self) -> None:
        for mailboxes in self._watches.values():
            for mailbox in mailboxes:
                mailbox.put(0)

    @asynccontextmanager
    async def watch(self, session_id: str) -> AsyncIterator[Mailbox]:
        mailbox = Mailbox()
        self._watches[session_id].add(mailbox)
        self._is_watched.set()
        try:
            yield mailbox
        finally:
            self._watches[session_id].discard(mailbox)
            if not self._watches[session_id]:
                del self._watches[session_id]

    async def _connected_when(
        self, wanted: asyncio.Event, act: Callable[[Connection], Awaitable[None]]
    ) -> None:
        """Acts on a connection; on a new one, after longer and longer waits, when that breaks."""
        await wanted.wait()
        wait = LEAST_WAIT
        while self._news or not self._closing:
            began = monotonic()
            try:
                connection = await connect(self._url, self._application)
                try:
                    await act(connection)
                finally:
                    await connection.close()
            except Exception as error:  # whatever it was, live news have to go on
                log.warning("live connection lost", extra={"error": repr(error)})
                wait = LEAST_WAIT if monotonic() - began > LONGEST_WAIT else wait * 2
                await asyncio.sleep(min(wait, LONGEST_WAIT))

    async def _publish(self, connection: Connection) -> None:
        """News after a silence go at once; the more there are, the more of them go together."""
        await connection.execute("SET synchronous_commit = off")  # hints need not reach the disk
        while self._news or not self._closing:
            await self._has_news.wait()
            self._has_news.clear()
            if news := self._taken():
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        await connection.execute(NOTIFY, [payloads(news)])
                except Exception:
                    self._keep(news)
                    raise
                await asyncio.sleep(min(GATHER_SECONDS, EACH_SECONDS * len(news)))

    def _taken(self) -> list[tuple[str, Item]]:
        told, self._news = self._news, defaultdict(Backlog)
        return [(session_id, item) for session_id, backlog in told.items() for item in backlog]

    def _keep(self, news: list[tuple[str, Item]]) -> None:
        """The places are told later; text would come too late."""
        for session_id, item in news:
            if isinstance(item, int):
                self.tell(session_id, item)

    async def _listen(self, connection: Connection) -> None:
        await connection.execute(f"LISTEN {CHANNEL}".encode())
        while True:
            await self._look(connection)
            async for notify in connection.notifies(timeout=LOOK_SECONDS):
                _, *entries = json.loads(notify.payload)
                for session_id, item in entries:
                    for mailbox in self._watches.get(session_id, ()):
                        mailbox.put(item)

    async def _look(self, connection: Connection) -> None:
        """Tells every watcher how far its session is: so no lost news stay unheard."""
        async with asyncio.timeout(ANSWER_SECONDS):
            cursor = await connection.execute(PLACES, [list(self._watches)])
            places = {row["id"]: row["seq"] for row in await cursor.fetchall()}
        for session_id, mailboxes in self._watches.items():
            for mailbox in mailboxes:
                mailbox.put(places.get(session_id, 0))


def payloads(news: list[tuple[str, Item]]) -> list[str]:
    """As few as hold it all; numbered, as PostgreSQL drops one that equals another."""
    packed: list[list[str]] = [[]]
    room = PAYLOAD_BYTES
    for entry in _entries(news):
        if len(entry) >= room:
            packed.append([])
            room = PAYLOAD_BYTES
        packed[-1].append(entry)
        room -= len(entry) + 1
    return [f"[{number},{','.join(entries)}]" for number, entries in enumerate(packed)]


def _entries(news: list[tuple[str, Item]]) -> Iterator[str]:
    for session_id, item in news:
        if isinstance(item, int):
            yield json.dumps([session_id, item])
        else:
            for at in range(0, len(item), PIECE):
                yield json.dumps([session_id, item[at : at + PIECE]])

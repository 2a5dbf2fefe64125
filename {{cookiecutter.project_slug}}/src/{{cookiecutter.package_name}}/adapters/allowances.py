"""What a key may do in a time: held across all processes, without a statement for each request.

A process takes a tenth of what a key has left, and hands that out by itself; the less is left, the
less it takes. What a process that dies had taken is lost, never given twice.
"""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from time import monotonic

from ..errors import TooMany
from ..ports import Allowance, Caller
from .commits import TODAY
from .postgres import Postgres

PART = 10
LOOK_SECONDS = 1.0
BUSY_SECONDS = 1.0
SETTLING_SECONDS = 0.3
"""So long a message may take until the work that it makes is seen in the database."""
MOST_KNOWN = 10_000
TAKE = f"""INSERT INTO requests AS r (key_id, remaining, granted, at)
VALUES (%(key)s, %(most)s - ceil(%(most)s / {PART}.0), ceil(%(most)s / {PART}.0), now())
ON CONFLICT (key_id) DO UPDATE SET (remaining, granted, at) = (
    SELECT filled - least(ceil(filled / {PART}), floor(filled)),
        least(ceil(filled / {PART}), floor(filled)), now()
    FROM (SELECT least(%(most)s, r.remaining
        + %(most)s * extract(epoch FROM now() - r.at)::float / 60) AS filled) AS bucket
)
RETURNING remaining, granted"""
SPENT = f"""SELECT coalesce(sum(tokens), 0) AS tokens, coalesce(sum(cost), 0) AS cost,
    (SELECT count(*) FROM sessions WHERE key_id = %(key)s AND status = 'ready') AS sessions
FROM (
    SELECT day_tokens AS tokens, day_cost AS cost FROM sessions
    WHERE key_id = %(key)s AND day = {TODAY}
    UNION ALL SELECT tokens, cost FROM spendings WHERE key_id = %(key)s AND day = {TODAY}
) AS spent"""


@dataclass
class Purse:
    """What this process holds of a key's allowance."""

    requests: int = 0
    empty_until: float = 0
    messages: int = 0
    looked_at: float = 0
    given: deque[float] = field(default_factory=deque)
    """When messages were let pass of which the database may not know yet."""
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)


class PostgresAllowances:
    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._purses: OrderedDict[int, Purse] = OrderedDict()

    async def take_request(self, caller: Caller) -> None:
        """One request of those that the key has in a minute."""
        most = caller.allowance.requests
        if not most:
            return
        purse = self._purse(caller.key_id)
        if purse.requests < 1:
            async with purse.opening:
                await self._fill(purse, caller, most)
        purse.requests -= 1

    async def take_message(self, caller: Caller) -> None:
        """The right to give agents work: not while too much is going on, or spent today."""
        allowance = caller.allowance
        if not (allowance.sessions or allowance.tokens or allowance.cost):
            return
        purse = self._purse(caller.key_id)
        async with purse.opening:
            if purse.messages < 1 or purse.looked_at + LOOK_SECONDS < monotonic():
                purse.messages = await self._look(caller, allowance, purse)
                purse.looked_at = monotonic()
            purse.messages -= 1
            purse.given.append(monotonic())

    async def _fill(self, purse: Purse, caller: Caller, most: int) -> None:
        if purse.requests >= 1:  # another has filled it while this one waited
            return
        wait = purse.empty_until - monotonic()
        if wait <= 0:
            (row,) = await self._database.rows(TAKE, key=caller.key_id, most=most)
            purse.requests = int(row["granted"])
            wait = (1 - row["remaining"]) * 60 / most
            purse.empty_until = monotonic() + wait if not purse.requests else 0
        if not purse.requests:
            raise TooMany(f"key {caller.name} has {most} requests a minute", retry_after=wait)

    async def _look(self, caller: Caller, allowance: Allowance, purse: Purse) -> int:
        """How many messages may pass before the next look; the last ones one after the other, each
        once it is known what came of those before.
        """
        unsettled = _unsettled(purse)
        (row,) = await self._database.rows(SPENT, key=caller.key_id)
        for name in ("tokens", "cost"):
            most = getattr(allowance, name)
            if most and row[name] >= most:
                what = f"key {caller.name} has spent its {most} {name} of today (UTC)"
                raise TooMany(what, retry_after=_until_tomorrow())
        if not (most := allowance.sessions):
            return MOST_KNOWN
        free = most - int(row["sessions"])
        if unsettled and 1 <= free <= unsettled:
            await asyncio.sleep(SETTLING_SECONDS)
            return await self._look(caller, allowance, purse)
        if free < 1:
            what = f"key {caller.name} has {row['sessions']} of {most} sessions at work"
            raise TooMany(what, retry_after=BUSY_SECONDS)
        return ceil((free - unsettled) / PART)

    def _purse(self, key_id: int) -> Purse:
        purse = self._purses.setdefault(key_id, Purse())
        self._purses.move_to_end(key_id)
        if len(self._purses) > MOST_KNOWN:
            self._purses.popitem(last=False)
        return purse


def _unsettled(purse: Purse) -> int:
    while purse.given and purse.given[0] < monotonic() - SETTLING_SECONDS:
        purse.given.popleft()
    return len(purse.given)


def _until_tomorrow() -> float:
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (midnight - now).total_seconds()

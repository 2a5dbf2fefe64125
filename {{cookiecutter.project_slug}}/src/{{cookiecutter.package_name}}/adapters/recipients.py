"""Recipients in PostgreSQL: the outbox is the sessions themselves, and how far each was told."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ..agent.events import ToolRequested, read, storable
from ..channels import Address, Kind, Recipient
from .postgres import Postgres
from .sessions import FREE

LOST = f"({FREE} OR leased_at < now() - interval '3 min')"
"""A run ends long before that: whoever holds on longer has lost its way."""
WHO = "session_id = %(session_id)s AND channel = %(channel)s AND place = %(place)s"
SHOWN = "session_id::text, channel, place, thread, details, is_origin, is_guest, told"
SESSION_OF = """SELECT session_id::text AS id, EXISTS (SELECT FROM events e
    WHERE e.session_id = r.session_id AND e.key = %(key)s) AS knows
FROM recipients r WHERE channel = %(channel)s AND thread = %(thread)s
    AND (is_origin OR NOT is_origin AND thread <> place)
ORDER BY knows DESC, is_origin DESC, since DESC LIMIT 1"""
"""Of those who were invited, the threads that a notice has begun: an index has these, and another
the origins."""
FOLLOW = """WITH known AS (
    UPDATE recipients SET details = details || %(details)s, is_origin = true,
        is_guest = CASE WHEN is_origin THEN is_guest ELSE %(is_guest)s END
    WHERE session_id = %(id)s AND channel = %(channel)s AND thread = %(thread)s
    RETURNING 1
)
INSERT INTO recipients AS r
    (session_id, channel, place, thread, details, is_origin, is_guest, told)
SELECT %(id)s, %(channel)s, %(thread)s, %(thread)s, %(details)s, true, %(is_guest)s,
    coalesce((SELECT seq FROM sessions WHERE id = %(id)s AND %(joins)s), 0)
WHERE NOT EXISTS (SELECT FROM known)
ON CONFLICT (session_id, channel, place)
    DO UPDATE SET details = r.details || excluded.details, is_origin = true,
        is_guest = CASE WHEN r.is_origin THEN r.is_guest ELSE excluded.is_guest END"""
INVITE = """INSERT INTO recipients (session_id, channel, place, thread, is_origin)
SELECT s.id, w.channel, w.place, w.place, false
FROM sessions s CROSS JOIN unnest(%(channels)s::text[], %(places)s::text[]) AS w(channel, place)
WHERE s.status = 'waiting' AND NOT EXISTS (SELECT FROM recipients r
    WHERE r.session_id = s.id AND r.channel = w.channel AND r.place = w.place)
ON CONFLICT DO NOTHING"""
DUE = f"""UPDATE recipients r
SET due_at = now() + interval '5 s' * 2 ^ least(r.dispatches, 6), dispatches = r.dispatches + 1,
    lease_owner = NULL
FROM (
    SELECT r.session_id, r.channel, r.place, s.lane
    FROM recipients r JOIN sessions s ON s.id = r.session_id
    WHERE r.is_open AND {LOST.replace("lease", "r.lease")}
        AND (r.due_at <= now() OR r.lease_owner IS NOT NULL)
        AND (s.status <> 'ready' OR s.seq > r.told AND r.due_at <= now() - interval '5 s')
    ORDER BY r.due_at LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED
) AS due
WHERE r.session_id = due.session_id AND r.channel = due.channel AND r.place = due.place
RETURNING r.session_id::text, r.channel, r.place, due.lane"""
"""While a session is at work it is looked at now and then; once it rests, at once."""
CLAIM = f"""UPDATE recipients SET lease_owner = %(owner)s, leased_at = now(), tries = tries + 1
WHERE {WHO} AND {LOST} AND (tries > 0 AND not_before > now()) IS NOT TRUE
RETURNING {SHOWN}, tries - 1 AS tries"""
"""Not while a wait that was asked for lasts, which is always after a try."""
RELEASE = f"""UPDATE recipients r
SET told = greatest(r.told, %(told)s), lease_owner = NULL, dispatches = 0,
    due_at = now() + coalesce(%(wake_in)s, interval '0'), not_before = now() + %(wake_in)s,
    tries = CASE WHEN %(wake_in)s IS NULL THEN 0 ELSE r.tries END,
    is_open = %(wake_in)s IS NOT NULL OR s.status = 'ready' OR s.seq > %(told)s
FROM (SELECT seq, status FROM sessions WHERE id = %(session_id)s FOR SHARE) AS s
WHERE {WHO} AND r.lease_owner = %(owner)s"""
"""It is closed while the session rests: what makes it go on opens it. The session is locked, or it
might go on just before."""
REQUEST = """SELECT data::text, version FROM events WHERE session_id = %(id)s
    AND data->>'kind' = 'tool_requested' AND data->'call'->>'id' = %(request)s"""
LETTERS = """SELECT id, session_id::text, channel, place, seq, kind, reason, is_wanted, died_at
FROM dead_letters ORDER BY id DESC LIMIT %(limit)s"""
REVIVE = """WITH wanted AS (
    UPDATE dead_letters SET is_wanted = true WHERE id = ANY(%(ids)s)
    RETURNING session_id, channel, place
), opened AS (
    UPDATE recipients r SET is_open = true, due_at = now(), not_before = NULL FROM wanted w
    WHERE r.session_id = w.session_id AND r.channel = w.channel AND r.place = w.place
)
SELECT count(*) AS count FROM wanted"""


class PostgresRecipients:
    def __init__(self, database: Postgres) -> None:
        self._database = database

    async def session_of(self, address: Address, *, key: str) -> str | None:
        where = {"channel": address.channel, "thread": address.thread}
        rows = await self._database.rows(SESSION_OF, **where, key=key)
        return rows[0]["id"] if rows else None

    async def follow(self, session_id: str, address: Address) -> None:
        """One that was invited, and now says something itself, is the origin from there on."""
        await self._add(session_id, address, joins=False, is_guest=False)

    async def join(self, session_id: str, address: Address, *, is_guest: bool) -> None:
        await self._add(session_id, address, joins=True, is_guest=is_guest)

    async def _add(self, session_id: str, address: Address, **how: bool) -> None:
        await self._database.rows(
            FOLLOW,
            id=session_id,
            channel=address.channel,
            thread=address.thread,
            details=Jsonb(dict(address.details)),
            **how,
        )

    async def of(self, session_id: str) -> list[Recipient]:
        sql = f"SELECT {SHOWN}, tries FROM recipients WHERE session_id = %(id)s"
        return [_recipient(row) for row in await self._database.rows(sql, id=session_id)]

    async def request(self, session_id: str, request_id: str) -> ToolRequested | None:
        rows = await self._database.rows(REQUEST, id=session_id, request=request_id)
        event = read(rows[0]["data"], rows[0]["version"]) if rows else None
        return event if isinstance(event, ToolRequested) else None

    async def invite(self, names: Sequence[str]) -> None:
        channels, places = zip(*(name.split(":", 1) for name in names), strict=True)
        await self._database.rows(INVITE, channels=list(channels), places=list(places))

    async def claim_due(self, *, limit: int) -> list[tuple[str, str, str, str]]:
        rows = await self._database.rows(DUE, limit=limit)
        return [(row["session_id"], row["channel"], row["place"], row["lane"]) for row in rows]

    async def put_back(self, due: Sequence[tuple[str, str, str, str]]) -> None:
        ids, channels, places, _ = zip(*due, strict=True)
        await self._database.rows(
            """UPDATE recipients r SET due_at = now(), dispatches = greatest(dispatches - 1, 0)
            FROM unnest(%(ids)s::uuid[], %(channels)s::text[], %(places)s::text[])
                AS w(session_id, channel, place)
            WHERE r.session_id = w.session_id AND r.channel = w.channel AND r.place = w.place""",
            ids=list(ids),
            channels=list(channels),
            places=list(places),
        )

    async def claim(
        self, session_id: str, channel: str, place: str, *, owner: int
    ) -> Recipient | None:
        who = {"session_id": session_id, "channel": channel, "place": place}
        rows = await self._database.rows(CLAIM, **who, owner=owner)
        return _recipient(rows[0], owner=owner) if rows else None

    async def wanted(self, recipient: Recipient) -> list[int]:
        sql = f"SELECT seq FROM dead_letters WHERE {WHO} AND is_wanted ORDER BY seq"
        return [row["seq"] for row in await self._database.rows(sql, **_who(recipient))]

    async def note(self, recipient: Recipient, *, told: int, moved: Address | None) -> bool:
        """The next notice may go out any moment: its try is counted already. What somebody has said
        there meanwhile stays known."""
        rows = await self._database.rows(
            f"""UPDATE recipients SET told = %(told)s, thread = coalesce(%(thread)s, thread),
                details = details || %(details)s, tries = 1, leased_at = now()
            WHERE {WHO} AND lease_owner = %(owner)s RETURNING 1""",
            **_who(recipient),
            owner=recipient.owner,
            told=told,
            thread=moved and moved.thread,
            details=Jsonb(dict(moved.details) if moved else {}),
        )
        return bool(rows)

    async def release(
        self, recipient: Recipient, *, told: int, wake_in: timedelta | None = None
    ) -> None:
        held = {**_who(recipient), "owner": recipient.owner}
        await self._database.rows(RELEASE, **held, told=told, wake_in=wake_in)

    async def bury(self, recipient: Recipient, *, seq: int, kind: Kind, reason: str) -> None:
        await self._database.rows(
            """INSERT INTO dead_letters (session_id, channel, place, seq, kind, reason)
            VALUES (%(session_id)s, %(channel)s, %(place)s, %(seq)s, %(kind)s, %(reason)s)
            ON CONFLICT (session_id, channel, place, seq)
                DO UPDATE SET reason = excluded.reason, is_wanted = false, died_at = now()""",
            **_who(recipient),
            seq=seq,
            kind=kind,
            reason=storable(reason),
        )

    async def revived(self, recipient: Recipient, *, seq: int) -> None:
        sql = f"DELETE FROM dead_letters WHERE {WHO} AND seq = %(seq)s"
        await self._database.rows(sql, **_who(recipient), seq=seq)

    async def letters(self, *, limit: int) -> list[dict[str, Any]]:
        return list(await self._database.rows(LETTERS, limit=limit))

    async def revive(self, ids: Sequence[int]) -> int:
        rows = await self._database.rows(REVIVE, ids=list(ids))
        return int(rows[0]["count"])


def _who(recipient: Recipient) -> dict[str, str]:
    channel = recipient.address.channel
    return {"session_id": recipient.session_id, "channel": channel, "place": recipient.place}


def _recipient(row: DictRow, *, owner: int = 0) -> Recipient:
    return Recipient(
        session_id=row["session_id"],
        place=row["place"],
        address=Address(row["channel"], row["thread"], row["details"]),
        is_origin=row["is_origin"],
        is_guest=row["is_guest"],
        told=row["told"],
        tries=row["tries"],
        owner=owner,
    )

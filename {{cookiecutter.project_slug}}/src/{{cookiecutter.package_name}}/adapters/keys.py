"""API keys in PostgreSQL: shown once, kept as a hash, looked up by what they begin with."""

import hmac
import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from time import monotonic
from typing import Any

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from ..errors import ConfigError, Conflict, NotFound
from ..ports import Allowance, Caller, Scope
from .postgres import Postgres

FORM = re.compile(r"(tfa_[0-9A-Za-z]{8})_[0-9A-Za-z_-]{43}")
LETTERS = string.ascii_letters + string.digits
PREFIX_LETTERS, SECRET_BYTES = 8, 32
TRUSTED_SECONDS = 5.0
"""So long a process goes by what it has seen of a key: a revoked one is out after that."""
MOST_KNOWN = 10_000
LIVES = "revoked_at IS NULL AND coalesce(expires_at > now(), true)"
SHOWN = """id, name, owner, scopes, prefix, allowance, created_at, expires_at, revoked_at,
    last_used_at"""
KEYS = f"SELECT {SHOWN} FROM api_keys ORDER BY id"


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a key is for."""

    name: str
    owner: str
    scopes: Sequence[Scope]
    allowance: Allowance
    expires_at: datetime | None = None


class PostgresKeys:
    """The Identity of this service; another, such as OIDC, is another adapter."""

    def __init__(self, database: Postgres, *, default: Allowance) -> None:
        """The default is what a key may do that says nothing of its own."""
        self._database = database
        self._default = default
        self._known: dict[bytes, tuple[float, Caller | None]] = {}

    async def who(self, credential: str) -> Caller | None:
        """Whose key that is; None for one that is unknown, revoked or expired."""
        if not (form := FORM.fullmatch(credential)):
            return None
        return await self._whose(form[1], _hashed(credential))

    def mark(self, credential: str) -> str:
        prefix, hashed = _parts(credential)
        return f"{prefix}.{hashed.hex()}"

    async def marked(self, mark: str) -> Caller | None:
        prefix, _, hashed = mark.partition(".")
        return await self._whose(prefix, bytes.fromhex(hashed))

    async def _whose(self, prefix: str, hashed: bytes) -> Caller | None:
        now = monotonic()
        until, caller = self._known.get(hashed, (0.0, None))
        if until < now:
            caller = await self._look_up(prefix, hashed)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[hashed] = now + TRUSTED_SECONDS, caller
        return caller

    async def create(self, grant: Grant) -> dict[str, Any]:
        """The new key with its secret, which nobody can show again."""
        try:
            return await self._insert(grant, new_key())
        except UniqueViolation as error:
            what = f"there is a key {grant.name!r} already: rotate it, or take another name"
            raise Conflict(what) from error

    async def let_in(self, grant: Grant, *, key: str) -> None:
        """That very key from now on, whatever its name stood for before."""
        again = """ON CONFLICT (name) DO UPDATE SET prefix = excluded.prefix, hash = excluded.hash,
            revoked_at = NULL"""
        try:
            await self._insert(grant, key, again)
        except UniqueViolation as error:
            what = "API_KEY is the secret of another key: take it away, and `up` makes one"
            raise ConfigError(what) from error

    async def _insert(self, grant: Grant, key: str, again: str = "") -> dict[str, Any]:
        prefix, hashed = _parts(key)
        rows = await self._database.rows(
            f"""INSERT INTO api_keys (name, owner, scopes, prefix, hash, allowance, expires_at)
            VALUES (%(name)s, %(owner)s, %(scopes)s, %(prefix)s, %(hash)s, %(allowance)s,
                %(expires_at)s) {again} RETURNING {SHOWN}""",
            name=grant.name,
            owner=grant.owner,
            scopes=list(grant.scopes),
            prefix=prefix,
            hash=hashed,
            allowance=Jsonb(grant.allowance.model_dump(mode="json", exclude_none=True)),
            expires_at=grant.expires_at,
        )
        return {"key": key, **rows[0]}

    async def list(self) -> list[dict[str, Any]]:
        return list(await self._database.rows(KEYS))

    async def rotate(self, name: str, *, grace: timedelta) -> dict[str, Any]:
        """The key with a new secret; the old one is good for so long still."""
        key = new_key()
        prefix, hashed = _parts(key)
        rows = await self._database.rows(
            f"""UPDATE api_keys SET old_prefix = prefix, old_hash = hash,
                old_until = now() + %(grace)s, prefix = %(prefix)s, hash = %(hash)s
            WHERE name = %(name)s AND {LIVES} RETURNING {SHOWN}""",
            name=name,
            grace=grace,
            prefix=prefix,
            hash=hashed,
        )
        if not rows:
            raise _no_such(name)
        return {"key": key, **rows[0]}

    async def revoke(self, name: str) -> None:
        rows = await self._database.rows(
            """UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE name = %(name)s
            RETURNING id""",
            name=name,
        )
        if not rows:
            raise _no_such(name)

    async def _look_up(self, prefix: str, hashed: bytes) -> Caller | None:
        """Also notes the use, at most once a minute."""
        rows = await self._database.rows(
            f"""WITH found AS (
                SELECT * FROM api_keys WHERE {LIVES} AND (prefix = %(prefix)s
                    OR old_prefix = %(prefix)s AND old_until > now())
            ), used AS (
                UPDATE api_keys k SET last_used_at = now() FROM found f
                WHERE k.id = f.id AND coalesce(f.last_used_at < now() - interval '1 min', true)
                    AND %(hash)s IN (f.hash, f.old_hash)
            )
            SELECT * FROM found""",
            prefix=prefix,
            hash=hashed,
        )
        for row in rows:
            kept = row["hash"] if row["prefix"] == prefix else row["old_hash"]
            if hmac.compare_digest(kept, hashed):
                return Caller(
                    key_id=row["id"],
                    name=row["name"],
                    owner=row["owner"],
                    scopes=frozenset(row["scopes"]),
                    allowance=Allowance.model_validate(row["allowance"]).over(self._default),
                )
        return None


def new_key() -> str:
    prefix = "".join(secrets.choice(LETTERS) for _ in range(PREFIX_LETTERS))
    return f"tfa_{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"


def _parts(key: str) -> tuple[str, bytes]:
    if not (form := FORM.fullmatch(key)):
        raise ConfigError("API_KEY is no key of this service: take it away, and `up` makes one")
    return form[1], _hashed(key)


def _hashed(key: str) -> bytes:
    """No slow hash: 256 random bits can't be guessed, whatever a guess costs."""
    return sha256(key.encode()).digest()


def _no_such(name: str) -> NotFound:
    return NotFound(f"there is no key {name!r} in use: `keys list` shows them")

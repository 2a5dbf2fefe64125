"""API keys for the tests and the tools, let in past the command line."""

import asyncio
import secrets
from collections.abc import Sequence
from decimal import Decimal

from {{ cookiecutter.package_name }}.adapters.keys import Grant, PostgresKeys
from {{ cookiecutter.package_name }}.adapters.postgres import Postgres
from {{ cookiecutter.package_name }}.ports import Allowance, Scope

ALL: tuple[Scope, ...] = ("chat", "approve", "admin")
PLENTY = Allowance(requests=10**7, sessions=10**6, tokens=10**12, cost=Decimal(10**9))
"""Limits that are counted, and never reached."""
KEY = f"tfa_{'a' * 8}_{'k' * 43}"
AUTH = {"Authorization": f"Bearer {KEY}"}


def let_in(url: str, *, key: str = KEY, **changes: object) -> dict[str, str]:
    """The key, in this database; the header that carries it."""
    grant = {"name": "all", "owner": "default", "scopes": ALL, "allowance": PLENTY} | changes

    async def known() -> None:
        database = Postgres(url, pool_size=1, application="tools")
        await database.open()
        try:
            await PostgresKeys(database, default=PLENTY).let_in(Grant(**grant), key=key)  # type: ignore[arg-type]
        finally:
            await database.close()

    asyncio.run(known())
    return {"Authorization": f"Bearer {key}"}


def another(url: str, name: str, *, owner: str, scopes: Sequence[Scope] = ALL) -> dict[str, str]:
    """A key of its own secret."""
    key = f"tfa_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
    return let_in(url, key=key, name=name, owner=owner, scopes=scopes)

"""Codes by which somebody outside decides, and nobody else, nothing else, and only once.

A code says which request it is for, and proves by HMAC-SHA256 that it was given to this recipient
for exactly these arguments. None is stored: a request is decided once, and so a code counts once.
"""

import hmac
from base64 import b32decode, b32encode
from binascii import Error
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from .agent.events import ENCODE

NUMBER, MARK = 3, 16
LENGTH = 16 + NUMBER + MARK
"""Bytes; a whole number of groups of base32, so that no code ends in signs of equality."""


@dataclass(frozen=True, kw_only=True)
class Bond:
    """All that a code is good for."""

    session_id: str
    request_id: str
    tool: str
    arguments: Mapping[str, Any]
    recipient: str

    def mark(self, key: str) -> bytes:
        exactly = [self.session_id, self.request_id, self.tool, self.arguments, self.recipient]
        return hmac.digest(key.encode(), ENCODE(exactly).encode(), "sha256")[:MARK]


def make(bond: Bond, key: str) -> str:
    """56 letters and digits: whole in a link, and whoever types it may do so in capitals."""
    number = int(bond.request_id.removeprefix("c")).to_bytes(NUMBER)
    code = UUID(bond.session_id).bytes + number + bond.mark(key)
    return b32encode(code).decode().lower()


def named(code: str) -> tuple[str, str] | None:
    """The session and the request that it names, which proves nothing; None for what is no code."""
    try:
        read = b32decode(code.upper())
    except (Error, ValueError):
        return None
    if len(read) != LENGTH:
        return None
    number = int.from_bytes(read[16 : 16 + NUMBER])
    return str(UUID(bytes=read[:16])), f"c{number}"


def proves(code: str, bond: Bond, keys: Iterable[str]) -> bool:
    """Whether one of the keys made this code for that; how long it takes tells nothing."""
    given = b32decode(code.upper())[-MARK:]
    return sum(hmac.compare_digest(given, bond.mark(key)) for key in keys) > 0

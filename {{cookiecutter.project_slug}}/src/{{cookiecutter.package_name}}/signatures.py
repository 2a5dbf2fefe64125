"""Messages between services, signed: nobody without a key can make one, nor send an old one again.

The header is `t=1767323045,v1=…`: the second of signing, and HMAC-SHA256 of `t.body` in hex. While
a key is rotated there is a v1 for each, and the receiver takes any of its own.
"""

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256

from .errors import AppError
from .settings import Settings, listed

HEADER = re.compile(r"t=([0-9]{1,12})((?:,v1=[0-9a-f]{64}){1,8})")
WINDOW_SECONDS = 300
MAIL = "mail"
"""What keys are for that a mail server signs with."""


class NotSigned(AppError):
    """Outside all refusals look alike; the reason is for the log."""

    status = 401
    title = "Not signed"

    def __init__(self, reason: str) -> None:
        super().__init__("the signature is missing, wrong or too old: sign anew with a valid key")
        self.reason = reason


def secrets_of(sender: str, settings: Settings) -> Iterable[str]:
    """The sender's secret, and those that former SECRET_KEYs gave it; none to a stranger."""
    return keys_for(f"webhook:{sender}", settings) if sender in listed(settings.webhooks) else []


def keys_for(purpose: str, settings: Settings) -> list[str]:
    """What is signed with for this alone: by SECRET_KEY first, then by each of the former ones."""
    former = settings.secret_key_fallbacks
    keys = (
        settings.secret_key.get_secret_value(),
        *listed(former.get_secret_value() if former else ""),
    )
    return [hmac.digest(key.encode(), purpose.encode(), "sha256").hex() for key in keys]


def sign(body: bytes, keys: Iterable[str], *, at: float) -> str:
    """The header for a body, signed with each key at this time."""
    second = str(int(at))
    return f"t={second}" + "".join(f",v1={_digest(second, body, key)}" for key in keys)


def verify(
    header: str | None,
    body: bytes,
    keys: Iterable[str],
    *,
    now: float,
    window: float = WINDOW_SECONDS,
) -> str:
    """What names the message, the same for every repeat of it: store it as its key.

    The window keeps out what is old; within it only that key keeps out what came before. It is none
    of the signatures: where there are several, one alone would look like another message.
    """
    if not (found := HEADER.fullmatch(header or "")):
        raise NotSigned("the header is none of ours" if header else "there is no signature")
    second, given = found[1], found[2].removeprefix(",v1=").split(",v1=")
    expected = [_digest(second, body, key) for key in keys if key]
    # All are compared, in constant time: how long it takes tells nothing.
    matching = [e for e in expected for g in given if hmac.compare_digest(e, g)]
    if not expected:
        raise NotSigned("no key is set to verify it with")
    if not matching:
        raise NotSigned("no key of ours makes this signature")
    if abs(now - int(second)) > window:
        raise NotSigned(f"it was signed {now - int(second):+.0f} s ago, {window:g} are allowed")
    return sha256(f"{second}.".encode() + body).hexdigest()


def _digest(second: str, body: bytes, key: str) -> str:
    return hmac.digest(key.encode(), f"{second}.".encode() + body, "sha256").hex()

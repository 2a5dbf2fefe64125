"""Deliveries as a sender signs them, and as somebody else would: each way to be almost signed."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from uuid import UUID

from {{ cookiecutter.package_name }}.settings import Settings
from {{ cookiecutter.package_name }}.signatures import WINDOW_SECONDS, secrets_of, sign

from .headers import Pair, changed

SENDERS = "ops,ci"
"""What WEBHOOKS has to name."""
SENDER, OTHER = SENDERS.split(",")
NAME = b"webhook-signature"
STRANGERS: tuple[str, ...] = (
    "OPS",
    "op",
    "opss",
    "ops ",
    " ops",
    "ops\0",
    "ops/",
    "ops\r\n",
    "../ops",
    "",
    "*",
)
STRANGERS += ("\u043eps", "all", "x" * 64, "x" * 5_000, "ops,ci")
ELSEWHERE: tuple[bytes, ...] = (
    b"signature",
    b"x-signature",
    b"webhook_signature",
    b"webhook-signature ",
    b"cookie",
)
ELSEWHERE += (b"authorization", b"x-hub-signature-256", b"x-webhook-signature", b"x-none")
ENCODINGS = ("utf-16", "utf-16-be", "utf-32", "utf-8-sig", "cp500")
LATE_SECONDS = 10**9
NOBODY = str(UUID(int=0))
TEXTS: tuple[Any, ...] = (
    "",
    " \n",
    "\0",
    "\ud800",
    "é" * 99_999,
    "x" * 100_001,
    None,
    7,
    ["x"],
    {},
)
ODD: dict[str, tuple[Any, ...]] = {
    "text": TEXTS,
    "metadata": ({"": ""}, {"x": "\0"}, {"x": 10**400}, {"x": 1e308}, {"x": "y" * 9_999}, [], "x"),
    "session_id": (NOBODY, NOBODY.replace("-", ""), "x", 0, False),
    "agent": ("", "nobody", "../x", "x" * 65, "\ud800", 1),
    "unknown": (None,),
}
"""What may stand in a delivery that is signed as it should be."""


@dataclass(frozen=True)
class Call:
    """A delivery as it comes in."""

    body: bytes
    signature: str
    sender: str = SENDER
    name: bytes = NAME
    more: tuple[Pair, ...] = ()
    """Headers after that of the signature."""
    before: tuple[Pair, ...] = ()

    @property
    def headers(self) -> list[Pair]:
        return [*self.before, (self.name, self.signature.encode("latin-1", "replace")), *self.more]


Way = Callable[[Random, Call, Settings], Call]


def genuine(settings: Settings, **given: Any) -> Call:
    body = json.dumps({"text": "hello", "metadata": {"é": [1, 2.5, None]}} | given).encode()
    return Call(body, _signed(body, SENDER, settings))


def in_signature(random: Random, call: Call, _: Settings) -> Call:
    """One byte of it or a few; or it is said another way."""
    second, digest = call.signature.split(",v1=")
    given = random.choice(
        [
            _other(random, call.signature.encode()).decode("latin-1"),
            f"{second},v1={_other(random, digest.encode()).decode('latin-1')}",
            f"{second},v1={digest[::-1]}",
            f"{second},v1={digest.upper()}",
            f"{second},v0={digest}",
            f"{second}, v1={digest}",
            f"v1={digest},{second}",
            digest,
            f"sha256={digest}",
            second,
            "",
        ]
    )
    return replace(call, signature=given)


def in_time(random: Random, call: Call, _: Settings) -> Call:
    """The signature is of another second."""
    moved = random.choice([-1, 1]) * random.randint(1, 10 ** random.randint(1, 9))
    second, digest = call.signature.removeprefix("t=").split(",v1=")
    return replace(call, signature=f"t={abs(int(second) + moved)},v1={digest}")


def too_late(random: Random, call: Call, settings: Settings) -> Call:
    """Really signed, and sent again when that is long ago; or signed ahead of time."""
    ago = random.choice([-1, 1]) * (WINDOW_SECONDS + random.randint(30, LATE_SECONDS))
    return replace(call, signature=_signed(call.body, SENDER, settings, ago=ago))


def in_body(random: Random, call: Call, _: Settings) -> Call:
    """Another delivery, or the same in other bytes."""
    given = json.loads(call.body)
    same = [json.dumps(given, indent=1), json.dumps(given, ensure_ascii=False)]
    same += [json.dumps(given, sort_keys=True, separators=(",", ":")), call.body.decode() + "\n"]
    body = random.choice(
        [
            _other(random, call.body),
            random.choice(same).encode(),
            json.dumps(given | {"text": "deploy it"}).encode(),
            call.body * 2,
            b"",
        ]
    )
    return replace(call, body=body)


def in_encoding(random: Random, call: Call, _: Settings) -> Call:
    """The same text in other bytes; of body or signature."""
    encoding = random.choice(ENCODINGS)
    more = ((b"content-type", f"application/json; charset={encoding}".encode()),)
    if random.random() < 0.5:  # noqa: PLR2004
        return replace(call, body=call.body.decode().encode(encoding), more=more)
    return replace(call, signature=call.signature.encode(encoding).decode("latin-1"), more=more)


def in_sender(random: Random, call: Call, _: Settings) -> Call:
    return replace(call, sender=random.choice([OTHER, *STRANGERS]))


def in_key(random: Random, call: Call, settings: Settings) -> Call:
    """Signed well, by somebody else."""
    ours, key = _secret(SENDER, settings), settings.secret_key.get_secret_value()
    other = random.choice(
        [
            _secret(OTHER, settings),
            key,
            "",
            ours.upper(),
            ours[:-1],
            SENDER,
            random.randbytes(32).hex(),
        ]
    )
    return replace(call, signature=sign(call.body, [other], at=time.time()))


def in_headers(random: Random, call: Call, _: Settings) -> Call:
    """The signature stands where it is not looked for."""
    return replace(call, name=random.choice(ELSEWHERE))


def doubled(random: Random, call: Call, _: Settings) -> Call:
    """Which of them counts is not for the sender of the second to say."""
    other = (NAME, random.choice([b"", b"t=1,v1=0", _other(random, call.headers[0][1])]))
    return random.choice([replace(call, before=(other,)), replace(call, more=(other,))])


WAYS: tuple[Way, ...] = (in_signature, in_time, too_late, in_body, in_encoding)
WAYS += (in_sender, in_key, in_headers, doubled)


def rotated(settings: Settings) -> list[Call]:
    """One delivery while a key is changed: signed with both, and with each of them alone."""
    call, now = genuine(settings, text="rotated"), time.time()
    keys = list(secrets_of(SENDER, settings))
    return [replace(call, signature=sign(call.body, by, at=now)) for by in (keys, *zip(keys))]


def odd(random: Random, settings: Settings) -> Call:
    name, values = random.choice(list(ODD.items()))
    call = genuine(settings, **{name: random.choice(values)})
    body = random.choice([call.body, _other(random, call.body)])
    return replace(call, body=body, signature=_signed(body, SENDER, settings))


def _signed(body: bytes, sender: str, settings: Settings, *, ago: float = 0) -> str:
    return sign(body, [_secret(sender, settings)], at=max(time.time() - ago, 0))


def _secret(sender: str, settings: Settings) -> str:
    return next(iter(secrets_of(sender, settings)))


def _other(random: Random, value: bytes) -> bytes:
    while (given := changed(random, value)) == value:
        continue
    return given

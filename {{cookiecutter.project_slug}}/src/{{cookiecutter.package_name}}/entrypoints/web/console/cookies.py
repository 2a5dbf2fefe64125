"""What a browser keeps of somebody who has signed in: a signed mark of the key, not the key.

A form's token follows from the cookie, so that no other site can make one.
"""

import hmac
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from ....settings import Settings
from ....signatures import keys_for

COOKIE = "console"
SECONDS = 12 * 3600


@dataclass(frozen=True)
class Seal:
    """Signs with SECRET_KEY; takes what a former one has signed, too."""

    settings: Settings

    @classmethod
    def of(cls, request: Request) -> "Seal":
        return cls(request.app.state.settings)

    def seal(self, mark: str, *, now: float) -> str:
        signed = f"{mark}.{int(now) + SECONDS}"
        return f"{signed}.{next(self._signatures('cookie', signed))}"

    def open(self, cookie: str, *, now: float) -> str:
        """The mark; empty where it is none of ours, or over."""
        signed, _, signature = cookie.rpartition(".")
        mark, _, until = signed.rpartition(".")
        is_ours = _is_one_of(signature, self._signatures("cookie", signed))
        return mark if is_ours and int(until) > now else ""

    def token(self, cookie: str) -> str:
        return next(self._signatures("form", cookie))

    def is_token(self, given: str, cookie: str) -> bool:
        return _is_one_of(given, self._signatures("form", cookie))

    def _signatures(self, what: str, text: str) -> Iterator[str]:
        for key in keys_for(f"console:{what}", self.settings):
            yield hmac.digest(key.encode(), text.encode(), "sha256").hex()


def cookie_of(request: Request) -> str:
    return str(request.cookies.get(COOKIE, ""))


def mark_of(request: Request) -> str:
    """Of the key that has signed in; empty where none has."""
    return Seal.of(request).open(cookie_of(request), now=time.time())


def keep(request: Request, response: Response, mark: str) -> None:
    """Only this site is sent it, no script sees it, and no line without TLS where there is one."""
    sealed = Seal.of(request).seal(mark, now=time.time())
    proxied = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    secure = "https" in {request.url.scheme, proxied}
    response.set_cookie(
        COOKIE, sealed, max_age=SECONDS, path="/", secure=secure, httponly=True, samesite="lax"
    )


def forget(response: Response) -> None:
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")


def _is_one_of(given: str, own: Iterable[str]) -> bool:
    """In constant time, whatever was given."""
    text = given.encode("utf-8", "replace")
    return any(hmac.compare_digest(text, signature.encode()) for signature in own)

"""Templates become pages: what is put in is escaped, and nothing from elsewhere is run or shown."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import Response

from ....about import about
from . import assets, charts

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "referrer-policy": "same-origin",
}
"""With no referrer at all a browser would not say that a form is our own."""
JOINERS = "\n\t\u200c\u200d"
STATUSES = {
    "idle": "answered",
    "ready": "working",
    "waiting": "needs you",
    "paused": "paused",
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""In the words of who looks on."""
MINUTE, HOUR, DAY = 60, 3600, 86_400
UNITS: tuple[tuple[int, int, str], ...] = (
    (10**9, 10**9, "G"),
    (10**6, 10**6, "M"),
    (10**5, 1000, "k"),
)


def page(template: str, *, status: int = 200, **known: Any) -> Response:
    text = templates().get_template(template).render(**known)
    return Response(text, status, HEADERS, "text/html")


@cache
def templates() -> Environment:
    made = Environment(
        loader=PackageLoader(str(__package__)),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"about": about(), "asset": assets.address, "charts": charts}
    made.globals |= {"statuses": STATUSES, "tone": tone, "money": money, "count": count}
    made.globals["lasting"] = lasting
    made.filters |= {"exact": exact, "plain": plain, "raw": raw, "money": money, "count": count}
    made.filters |= {"when": when, "age": age, "lasting": lasting, "line": line, "local": local}
    return made


def exact(value: Any) -> str:
    """Whole and as it is, over several lines; what can't be seen is spelled out."""
    told = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return plain(told)


def plain(text: str) -> str:
    """Without what has no width or turns the direction: a model's text is not trusted."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode() for c in text
    )


def raw(text: str) -> Markup:
    """For the inside of an element, where quotes need no five letters each."""
    return Markup(str(escape(text)).replace("&#34;", '"').replace("&#39;", "'"))  # noqa: S704


def line(text: str, length: int = 120) -> str:
    flat = plain(" ".join(text[: length * 4].split()))
    return flat if len(flat) <= length else f"{flat[: length - 1]}…"


def money(amount: Decimal | float) -> str:
    """In US dollars; of what costs hardly anything, enough to see that."""
    if not amount:
        return "$0"
    return f"${amount:.4f}" if -1 < amount < 1 else f"${amount:,.2f}"


def count(number: float) -> str:
    """12,345 as it is; then 123k, 1.23M."""
    for least, size, unit in UNITS:
        if number >= least:
            return f"{number / size:.3g}{unit}"
    return f"{number:,.0f}"


def lasting(seconds: float) -> str:
    if seconds < 0.05:  # noqa: PLR2004
        return "0 s"
    if seconds < MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.1f} h" if seconds < DAY else f"{seconds / DAY:.1f} days"


def when(at: datetime) -> Markup:
    """A time of day that the script puts into the reader's own clock."""
    return _time(at, "clock", "%Y-%m-%d %H:%M:%S UTC")


def age(at: datetime) -> Markup:
    """A time that the script tells as an age, and keeps true."""
    return _time(at, "age", "%Y-%m-%d %H:%M UTC")


def local(path: str) -> str:
    """Only what leads to this very site."""
    return path if path.startswith("/") and path[1:2] not in {"/", "\\"} else "/"


def tone(status: str) -> str:
    return status if status in STATUSES else "idle"


def _time(at: datetime, kind: str, told: str) -> Markup:
    """In UTC, whatever zone the database tells it in."""
    form, at = '<time datetime="{}" data-time="{}">{}</time>', at.astimezone(UTC)
    return Markup(form).format(f"{at:%Y-%m-%dT%H:%M:%S}Z", kind, f"{at:{told}}")  # noqa: S704

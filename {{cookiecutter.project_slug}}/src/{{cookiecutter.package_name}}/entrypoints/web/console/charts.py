"""Figures over days as SVG: made here, painted by the style sheet, and told in words as well."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal

from markupsafe import Markup, escape

from ....ports import Day

WIDTH, HEIGHT, TOP, BOTTOM, LEFT = 560, 150, 20, 20, 4
DAYS = 14
GAP = 0.28
OUTCOMES = (
    ("answered", ("idle", "done")),
    ("at work", ("ready",)),
    ("needs a person", ("waiting", "paused")),
    ("failed", ("failed", "cancelled")),
)
"""Each with the statuses that it is made of; painted in this order, from below."""
Told = Callable[[float], str]


def fill(days: Sequence[Day], today: date) -> list[Day]:
    """One for each day, also where nothing happened."""
    known = {day.day: day for day in days}
    dates = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    return [known.get(at) or Day(at) for at in dates]


def cost(days: Sequence[Day], told: Told) -> Markup:
    return _bars(days, [[float(day.cost) for day in days]], told, "Cost")


def tokens(days: Sequence[Day], told: Told) -> Markup:
    return _bars(days, [[float(day.tokens) for day in days]], told, "Tokens")


def outcomes(days: Sequence[Day], told: Told) -> Markup:
    series = [[float(of(day, names)) for day in days] for _, names in OUTCOMES]
    return _bars(days, series, told, "Sessions by outcome", [name for name, _ in OUTCOMES])


def latency(days: Sequence[Day], told: Told) -> Markup:
    """Two lines over the days on which there were calls."""
    highest = max((day.slow_seconds for day in days), default=0)
    most = highest or 1
    lines = []
    for place, pick in enumerate((_usual, _slow)):
        points = [
            (_middle(number, len(days)), _y(pick(day), most), pick(day), day)
            for number, day in enumerate(days)
            if day.slow_seconds
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in points)
        lines.append(f'<polyline class="line s{place}" points="{path}"/>')
        lines += [
            f'<circle class="dot s{place}" cx="{x:.1f}" cy="{y:.1f}" r="3">'
            f"<title>{escape(_named(day, told(value)))}</title></circle>"
            for x, y, value, day in points
        ]
    return _framed("".join(lines), days, told(highest), "Seconds of a model's call")


def of(day: Day, names: Sequence[str]) -> int:
    return sum(number for status, number in day.outcomes.items() if status in names)


def total(days: Sequence[Day]) -> tuple[Decimal, int, int]:
    """Dollars, tokens and sessions of all of them."""
    sessions = sum(sum(day.outcomes.values()) for day in days)
    return sum((day.cost for day in days), Decimal(0)), sum(d.tokens for d in days), sessions


def _usual(day: Day) -> float:
    return day.usual_seconds


def _slow(day: Day) -> float:
    return day.slow_seconds


def _bars(
    days: Sequence[Day],
    series: Sequence[Sequence[float]],
    told: Told,
    name: str,
    names: Sequence[str] = ("",),
) -> Markup:
    """A column a day, its parts on top of one another."""
    highest = max(map(sum, zip(*series, strict=True)), default=0)
    most = highest or 1
    width = (WIDTH - LEFT) / max(len(days), 1)
    drawn = []
    for number, day in enumerate(days):
        below = 0.0
        for place, values in enumerate(series):
            if not (value := values[number]):
                continue
            top, foot = _y(below + value, most), _y(below, most)
            title = escape(_named(day, told(value), names[place]))
            drawn.append(
                f'<rect class="bar s{place}" x="{LEFT + width * (number + GAP / 2):.1f}" '
                f'y="{top:.1f}" width="{width * (1 - GAP):.1f}" height="{max(foot - top, 1):.1f}" '
                f'rx="1.5"><title>{title}</title></rect>'
            )
            below += value
    return _framed("".join(drawn), days, told(highest), name)


def _framed(drawn: str, days: Sequence[Day], most: str, name: str) -> Markup:
    """With a line for the most and for nothing, and the first and the last day under it."""
    foot = HEIGHT - BOTTOM
    first, last = (f"{days[place].day:%-d %b}" for place in (0, -1))
    return Markup(  # noqa: S704
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(name)} of {len(days)} days, at most {escape(most)}">'
        f'<line class="grid" x1="0" x2="{WIDTH}" y1="{TOP}" y2="{TOP}"/>'
        f'<line class="axis" x1="0" x2="{WIDTH}" y1="{foot}" y2="{foot}"/>{drawn}'
        f'<text x="{LEFT}" y="{TOP - 6}">{escape(most)}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 5}">{first}</text>'
        f'<text x="{WIDTH - LEFT}" y="{HEIGHT - 5}" text-anchor="end">{last}</text></svg>'
    )


def _y(value: float, most: float) -> float:
    return HEIGHT - BOTTOM - value / most * (HEIGHT - BOTTOM - TOP)


def _middle(number: int, count: int) -> float:
    return LEFT + (WIDTH - LEFT) / max(count, 1) * (number + 0.5)


def _named(day: Day, value: str, name: str = "") -> str:
    return f"{day.day:%-d %b}: {value} {name}".rstrip()

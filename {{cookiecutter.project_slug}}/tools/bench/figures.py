"""What a run comes to: one table, each figure beside its bound."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import mean, median, quantiles

HEAD = ("figure", "measured", "bound", "ratio", "")
WIDTH = 70


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One that is not measured says why, and shows nothing; one without a bound is to be read."""

    name: str
    value: float | None = None
    unit: str = ""
    least: float | None = None
    most: float | None = None
    instead: str = ""

    @property
    def is_over(self) -> bool:
        if self.value is None:
            return True
        too_little = self.least is not None and self.value < self.least
        return too_little or (self.most is not None and self.value > self.most)

    @property
    def row(self) -> tuple[str, ...]:
        bound = self.most if self.least is None else self.least
        if self.value is None:
            return self.name, f"not measured: {self.instead}"[:WIDTH], "", "", "not shown"
        measured = _number(self.value, self.unit)
        if bound is None:
            return self.name, measured, "", "", ""
        limit = f"at {'most' if self.least is None else 'least'} {_number(bound, self.unit)}"
        ratio = f"{self.value / bound:.2f}" if bound else ""
        return self.name, measured, limit, ratio, "over" if self.is_over else "ok"


def table(figures: Iterable[Figure]) -> str:
    rows = [HEAD, *(figure.row for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def interleaved(runs: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, float]:
    """The median of each: they take turns, so that all have the same minutes of the machine."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
    return {name: median(values) for name, values in found.items()}


def averaged(pairs: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each over pairs of processes: two alike differ by a twentieth while they live."""
    first, *others = pairs
    return {name: mean([value, *(pair[name] for pair in others)]) for name, value in first.items()}


def p95(values: Iterable[float]) -> float:
    return quantiles(values, n=20)[-1]


def _number(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2  # noqa: PLR2004
    return f"{value:,.{digits}f} {unit}".strip()

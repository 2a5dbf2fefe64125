"""What the bench and the storm print: figures, their bounds, and how far they are apart."""

import pytest

from tools.bench.figures import Figure, interleaved, p95, table


@pytest.mark.parametrize(
    ("figure", "row"),
    [
        (Figure(name="a", value=90, unit="ms", most=100), ("90.0 ms", "at most 100 ms", "0.90")),
        (Figure(name="a", value=2500, least=2000), ("2,500", "at least 2,000", "1.25")),
        (Figure(name="a", value=0.125, unit="s"), ("0.12 s", "", "")),
        (Figure(name="a", value=0, most=0), ("0.00", "at most 0.00", "")),
    ],
)
def test_a_figure_stands_beside_its_bound_and_their_ratio(
    figure: Figure, row: tuple[str, ...]
) -> None:
    assert figure.row[1:-1] == row
    assert not figure.is_over


@pytest.mark.parametrize(
    ("figure", "is_over"),
    [
        (Figure(name="a", value=100, most=100), False),
        (Figure(name="a", value=100.1, most=100), True),
        (Figure(name="a", value=2000, least=2000), False),
        (Figure(name="a", value=1999, least=2000), True),
        (Figure(name="a", value=1, most=0), True),
        (Figure(name="a", instead="not here"), True),
    ],
)
def test_what_is_beyond_its_bound_or_could_not_be_measured_is_over(
    figure: Figure, *, is_over: bool
) -> None:
    assert figure.is_over is is_over
    assert (figure.row[-1] in {"over", "not shown"}) is is_over


def test_the_table_is_aligned_and_long_reasons_are_cut() -> None:
    figures = [Figure(name="steps", value=1, most=2), Figure(name="x", instead="why " * 50)]
    head, steps, other = table(figures).splitlines()
    assert head.split() == ["figure", "measured", "bound", "ratio"]
    assert steps.index("1.00") == head.index("measured") == other.index("not measured: why")
    assert steps.index("at most 2.00") == head.index("bound")
    assert other.count("why") < 20


def test_runs_take_turns_and_the_median_counts() -> None:
    turns: list[str] = []
    values = {"one": iter([1.0, 9.0, 2.0]), "two": iter([5.0, 4.0, 30.0])}

    def run(name: str) -> float:
        turns.append(name)
        return next(values[name])

    found = interleaved({name: lambda name=name: run(name) for name in values}, rounds=3)  # type: ignore[misc]
    assert found == {"one": 2.0, "two": 5.0}
    assert turns == ["one", "two"] * 3


def test_of_a_hundred_values_five_are_above_the_95th_percentile() -> None:
    bound = p95(range(1, 101))
    assert sum(value > bound for value in range(1, 101)) == 5

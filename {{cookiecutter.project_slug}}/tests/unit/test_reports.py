"""What storms and measurements come to: what was not shown is no pass."""

from collections import Counter

from tools.bench.figures import Figure, table
from tools.chaos.audit import Audit
from tools.chaos.drills import DRILLS, Drilled
from tools.chaos.report import of_drills, of_storm
from tools.chaos.storm import Outcome


def test_a_figure_that_was_not_measured_is_no_pass() -> None:
    figure = Figure(name="steps: Redis", instead="no redis-server here")
    assert figure.is_over
    assert "not measured: no redis-server here" in table([figure])
    assert not Figure(name="steps: pgmq", value=1.0).is_over


def test_a_drill_without_samples_is_no_pass() -> None:
    drill = DRILLS[0]

    def over(*seconds: float) -> list[str]:
        lines = of_drills({drill: Drilled(list(seconds), doubled=0)})
        return [str(line) for line in lines if line.is_over]

    assert len(over()) == len(over(0.1)) == 1
    assert over(0.1, 0.1) == []


def test_a_process_that_ends_by_itself_in_a_storm_is_no_pass() -> None:
    audit = Audit(lost=[], doubled=0, repeats=0, said_twice=0, failed=0, strays=0)

    def over(*unasked: str) -> list[str]:
        outcome = Outcome(
            sessions=1,
            kills=Counter(),
            crashes=0,
            leaks=[],
            purges=0,
            seconds=1,
            settled=1,
            retries=0,
            refused=[],
            unanswered=0,
            unasked=list(unasked),
            recovery=[],
            audit=audit,
        )
        return [line.what for line in of_storm(outcome) if line.is_over]

    assert over() == []
    assert over("worker-1 ended with 69: oh") == ["processes that ended by themselves"]

"""The report of `make prove`: each factor, and whether its proofs hold.

A proof is a test, wherever it lives, marked @pytest.mark.factor("IX").
"""

from collections import defaultdict

import pytest

from .catalogue import FACTORS


class Report:
    def __init__(self) -> None:
        self.proofs: dict[str, dict[str, str]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            for name, factor in report.user_properties:
                if name == "factor":
                    self.proofs[str(factor)][report.nodeid] = report.outcome

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for factor, claim in FACTORS.items():
            proofs = self.proofs.get(factor, {})
            terminalreporter.write_line(f"{factor:>4}  {verdict(proofs):7}  {claim}")
            for line in sorted({said(*proof) for proof in proofs.items()}):
                terminalreporter.write_line(f"{'':15}{line}")


def verdict(proofs: dict[str, str]) -> str:
    """What no test has proven here is `not yet`; it is never said to hold."""
    outcomes = set(proofs.values()) - {"skipped"}
    if not outcomes:
        return "not yet"
    return "holds" if outcomes == {"passed"} else "broken"


def said(test: str, outcome: str) -> str:
    """A line a test, whatever its parameters, and one more for what did not pass."""
    name = test.rpartition("::")[2]
    return name.partition("[")[0] if outcome == "passed" else f"{outcome.upper()}: {name}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--prove", action="store_true", help="run the proofs alone, and report them")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--prove"):
        config.option.markexpr = "factor"
        config.pluginmanager.register(Report())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("factor"):
            item.user_properties += [("factor", number) for number in marker.args]

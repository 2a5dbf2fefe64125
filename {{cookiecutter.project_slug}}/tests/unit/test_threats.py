"""The table of threats: each risk is one of OWASP's, and each proof is a test that there is."""

import ast
import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
TABLE = PROJECT / "docs" / "threats.md"
RISKS = [f"API{number}" for number in range(1, 11)] + [f"LLM{number:02}" for number in range(1, 11)]
ROW = re.compile(r"^\| ((?:API|LLM)\d+) [^|]+ \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def proofs(table: str) -> dict[str, list[str]]:
    """The tests that each risk names."""
    return {risk: re.findall(r"`([^`]+)`", named) for risk, named in ROW.findall(table)}


def missing(node: str) -> bool:
    """Whether there is no test of this name in this file."""
    file, _, name = node.partition("::")
    if not (path := PROJECT / file).is_file():
        return True
    body = ast.parse(path.read_text()).body
    return name not in {test.name for test in body if isinstance(test, ast.FunctionDef)}


def test_every_proof_of_the_table_is_a_test_that_there_is() -> None:
    named = proofs(TABLE.read_text())
    assert all(named.values())
    assert not [node for nodes in named.values() for node in nodes if missing(node)]


def test_a_proof_that_there_is_not_would_be_missed() -> None:
    (node,) = proofs("| API1 x | y | `tests/unit/test_threats.py::test_gone` |")["API1"]
    assert missing(node)
    assert missing("tests/unit/test_gone.py::test_x")


def test_the_risks_stand_once_each_and_in_order() -> None:
    rows = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == len(RISKS) + 1  # the head
    assert [risk for risk, _ in ROW.findall(TABLE.read_text())] == RISKS

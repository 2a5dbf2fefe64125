"""What watches the service: it asks for what there is, and says so when something is wrong."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from {{ cookiecutter.package_name }}.about import about
from {{ cookiecutter.package_name }}.entrypoints.cli import cli
from {{ cookiecutter.package_name }}.telemetry.metrics import Metrics

from tools.dashboard import FILE, read, write
from tools.manifests.queries import labels_in, labels_of, metrics_in, of_this_service, series

PROJECT = Path(__file__).parents[2]
MONITORING = PROJECT / "deploy" / "monitoring"
RULES = MONITORING / "alerts.yaml"
TESTS = [MONITORING / "alerts_test.yaml", MONITORING / "alerts_slow_test.yaml"]
ROUTES = MONITORING / "alertmanager.yaml"
COMPOSE = [PROJECT / name for name in ("compose.monitoring.yaml", "compose.logging.yaml")]
THEIRS = {"up", "ALERTS"}
LABELS = {"alertname", "alertstate", "instance", "job", "le"}
UNITS = {"short", "s", "ops", "reqps", "percentunit", "currencyUSD", "bytes"}


def parsed(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


ALERTS = [rule for group in parsed(RULES)["groups"] for rule in group["rules"]]
NAMES = [rule["alert"] for rule in ALERTS]
PANELS = [panel for panel in json.loads(FILE.read_text())["panels"] if panel["type"] != "row"]
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$agent": ".*", "$lane": ".*"}


def queries() -> Iterator[str]:
    """All PromQL of rules and panels, the dashboard's variables filled in."""
    yield from (rule["expr"] for rule in ALERTS)
    for query in (target["expr"] for panel in PANELS for target in panel["targets"]):
        for name, value in VARIABLES.items():
            query = query.replace(name, value)  # noqa: PLW2901
        yield query


@pytest.fixture
def metrics() -> Metrics:
    return of_this_service()


@pytest.fixture
def names(metrics: Metrics) -> dict[str, str]:
    return series(metrics)


def test_every_metric_in_a_rule_or_a_panel_exists(names: dict[str, str]) -> None:
    unknown = {name for query in queries() for name in metrics_in(query)} - set(names) - THEIRS
    assert not unknown


def test_every_metric_of_ours_is_in_a_rule_or_a_panel(names: dict[str, str]) -> None:
    asked = {names.get(name) for query in queries() for name in metrics_in(query)}
    ours = {name for name in names.values() if not name.startswith("process_")}
    assert ours <= asked, f"nobody looks at {', '.join(sorted(ours - asked))}"


def test_every_label_in_a_rule_or_a_panel_exists(metrics: Metrics) -> None:
    known = labels_of(metrics) | LABELS
    unknown = {label for query in queries() for label in labels_in(query)} - known
    assert not unknown


def test_names_and_labels_are_found_in_promql() -> None:
    query = 'sum by (le, a) (rate(x_total{b="c", d=~"e"}[5m])) / y_count and up offset 2m'
    assert metrics_in(query) == {"x_total", "y_count", "up"}
    assert labels_in(query) == {"le", "a", "b", "d"}


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_every_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    says = rule["annotations"]
    assert set(says) == {"summary", "description", "runbook_url"}
    page, _, anchor = says["runbook_url"].partition("#")
    assert anchor == rule["alert"].lower()
    assert f"\n### {rule['alert']}\n**Means**: " in (PROJECT / page).read_text()


def test_every_alert_is_tested_when_it_fires_and_when_it_does_not() -> None:
    tested: dict[str, set[str]] = {"fires": set(), "too early": set(), "bearable": set()}
    for case in (case for file in TESTS for case in parsed(file)["tests"]):
        for test in case["alert_rule_test"]:
            quiet = "bearable" if case["name"] == "all is just bearable" else "too early"
            tested["fires" if test["exp_alerts"] else quiet].add(test["alertname"])
    assert tested == {kind: set(NAMES) for kind in tested}


def test_every_runbook_is_an_alert_s() -> None:
    runbooks = (PROJECT / "docs" / "runbooks.md").read_text()
    assert re.findall(r"^### (.*)$", runbooks, re.MULTILINE) == NAMES


@pytest.mark.parametrize(("name", "least"), [("runbooks.md", 20), ("delivery.md", 6)])
def test_every_command_of_a_page_exists(name: str, least: int) -> None:
    page = (PROJECT / "docs" / name).read_text()
    written = re.findall(rf"\b{about().slug} ([^`\n]+)", page)
    assert len(written) >= least
    for words in map(str.split, written):
        command: Any = typer.main.get_command(cli)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands"), words
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("name", ["runbooks.md", "delivery.md"])
def test_every_chore_and_tool_of_a_page_exists(name: str) -> None:
    page = (PROJECT / "docs" / name).read_text()
    chores = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    called = {word for line in re.findall(r"`make ([a-z ]+)`", page) for word in line.split()}
    assert called
    assert called <= chores
    for link in re.findall(r"\]\((?!http)([^)#]+)", page):
        assert (PROJECT / "docs" / link).exists(), link


def test_what_is_silenced_is_an_alert() -> None:
    for rule in parsed(ROUTES)["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            assert set(matcher.split('"')[1].split("|")) <= set(NAMES)


def test_the_dashboard_is_what_its_table_says() -> None:
    assert FILE.read_text() == write(read()), "run `python -m tools.dashboard`"


def test_every_panel_can_be_read_and_lies_on_no_other() -> None:
    board = json.loads(FILE.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        place = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not place & taken, panel["title"]
        taken |= place
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])


def command(name: str) -> str:
    """A tool of the system; without it a laptop skips, and CI fails."""
    if found := shutil.which(name):
        return found
    missing = f"there is no {name} here: apt install prometheus prometheus-alertmanager"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    given = [command(name), *map(str, arguments)]
    return subprocess.run(given, capture_output=True, text=True, check=False)


def test_prometheus_takes_its_configuration() -> None:
    checked = run("promtool", "check", "config", MONITORING / "prometheus.yaml")
    assert checked.returncode == 0, checked.stderr
    assert f"{len(NAMES)} rules found" in checked.stdout


def test_the_rules_pass_their_tests() -> None:
    tested = run("promtool", "test", "rules", *TESTS)
    assert tested.returncode == 0, tested.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("> 0.05\n        for: 5m", "> 0.5\n        for: 5m"), ("for: 10m", "for: 1m")],
)
def test_a_rule_that_is_wrong_fails_its_test(tmp_path: Path, right: str, wrong: str) -> None:
    rules = RULES.read_text()
    assert right in rules
    (tmp_path / RULES.name).write_text(rules.replace(right, wrong))
    shutil.copy(TESTS[0], tmp_path)
    assert run("promtool", "test", "rules", tmp_path / TESTS[0].name).returncode == 1


def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    records = [{"record": f"q{n}", "expr": query} for n, query in enumerate(queries())]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": records}]}))
    assert (checked := run("promtool", "check", "rules", file)).returncode == 0, checked.stderr
    file.write_text(file.read_text().replace("sum by", "sum bye", 1))
    assert run("promtool", "check", "rules", file).returncode == 1


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "pager"), ("warning", "chat")])
def test_an_alert_reaches_who_has_to_know(severity: str, receiver: str) -> None:
    routed = run(
        "amtool", "config", "routes", "test", f"--config.file={ROUTES}", f"severity={severity}"
    )
    assert (routed.returncode, routed.stdout.strip()) == (0, receiver), routed.stderr


def test_alertmanager_takes_its_configuration() -> None:
    checked = run("amtool", "check-config", ROUTES)
    assert checked.returncode == 0, checked.stderr


def test_prometheus_asks_processes_where_they_answer() -> None:
    services = parsed(PROJECT / "compose.yaml")["services"]
    asked = {
        (place["names"][0], place["port"])
        for job in parsed(MONITORING / "prometheus.yaml")["scrape_configs"]
        for place in job["dns_sd_configs"]
    }
    web, worker = services["web"]["environment"], services["worker"]["environment"]
    metrics = worker["METRICS_PORT"]
    assert asked == {("web", web["PORT"]), ("worker", metrics), ("scheduler", metrics)}


@pytest.mark.parametrize("name", ["collector.yaml", "collector.logs.yaml"])
def test_every_part_of_a_collector_is_used_and_every_used_part_is_there(name: str) -> None:
    collector = parsed(MONITORING / name)
    for kind in ("receivers", "processors", "exporters"):
        pipelines = collector["service"]["pipelines"].values()
        used = {part for pipeline in pipelines for part in pipeline[kind]}
        assert used == set(collector[kind])
    assert collector["service"].get("extensions", []) == list(collector.get("extensions", []))


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.name)
def test_what_watches_is_pinned_hardened_and_given_files_that_exist(file: Path) -> None:
    for name, service in parsed(file)["services"].items():
        if "image" not in service:
            continue
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), service["image"]
        assert service["cap_drop"] == ["ALL"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        for volume in service.get("volumes", []):
            here, _, _ = volume.partition(":")
            assert not here.startswith("./") or (PROJECT / here).is_file(), volume

"""What is asked of Prometheus is told by some process of ours, under labels that it has."""

import re
from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from {{ cookiecutter.package_name }}.telemetry.metrics import Metrics
from {{ cookiecutter.package_name }}.telemetry.standing import Standing

from .build import Build, title
from .code import settings_with
from .references import mentions

SUFFIXES = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
WORDS = {"and", "by", "offset", "on", "or", "unless"}
OF_PROMETHEUS = {"le", "job", "instance", "namespace", "pod"}


def series(metrics: Metrics) -> dict[str, str]:
    """Every name that a query may ask for, with its metric's."""
    return {
        family.name + suffix: family.name
        for family in metrics.registry.collect()
        for suffix in SUFFIXES.get(family.type, [""])
    }


def of_this_service() -> Metrics:
    metrics = Metrics(settings_with({}), "check")
    metrics.registry.register(Standing(list, dict))
    return metrics


def labels_of(metrics: Metrics) -> set[str]:
    own = [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]
    named = {label for metric in own for label in metric._labelnames}  # noqa: SLF001
    return named | {"lane", "status", "process", "release"}  # of the whole, and of the build


def metrics_in(query: str) -> set[str]:
    bare = re.sub(r"\{.*?\}|\[.*?\]|\bby \(.*?\)|\"[^\"]*\"", " ", query, flags=re.DOTALL)
    return set(re.findall(r"\b[A-Za-z_]\w*\b(?!\s*\()", bare)) - WORDS - {"m", "h", "d"}


def labels_in(query: str) -> set[str]:
    grouped = re.findall(r"\bby \((.*?)\)", query)
    named = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)
    return {label.strip() for group in grouped for label in group.split(",")} | set(named)


def faults(build: Build) -> Iterator[str]:
    metrics = of_this_service()
    known = labels_of(metrics) | OF_PROMETHEUS | _given_to_metrics(build)
    for thing in build.of("AnalysisTemplate"):
        for query in mentions(thing, "query"):
            asked = re.sub(r"\{\{.*?\}\}", "", query)
            for name in sorted(metrics_in(asked) - set(series(metrics))):
                yield f"{title(thing)}: there is no metric {name}"
            for label in sorted(labels_in(asked) - known):
                yield f"{title(thing)}: no metric has a label {label}"


def _given_to_metrics(build: Build) -> set[str]:
    """Labels of pods that a monitor puts on all that it reads there."""
    monitors = [*build.of("PodMonitor")]
    labels = {label for each in monitors for label in each["spec"].get("podTargetLabels", [])}
    return {re.sub(r"\W", "_", label) for label in labels}

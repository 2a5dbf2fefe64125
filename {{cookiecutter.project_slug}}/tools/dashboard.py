"""A table of panels becomes the JSON that Grafana reads: `python -m tools.dashboard` writes it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[1] / "deploy" / "monitoring" / "grafana"
TABLE, FILE = FOLDER / "panels.yaml", FOLDER / "dashboard.json"
COLUMNS, WIDTH, WIDTHS = 24, 8, {"stat": 3}
HEIGHT, HEIGHTS = 8, {"row": 1, "stat": 4, "state-timeline": 5}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
NOTHING = {"type": "special", "options": {"match": "null+nan", "result": {"text": "-"}}}
SELECTORS = {
    "ours": 'route!~"/health|/ready|/metrics"',
    "quick": 'route!~"/health|/ready|/metrics|.*/(messages|events)"',
    "agent": 'agent=~"$agent"',
    "lane": 'lane=~"$lane"',
}
"""Routes without the probes, without those that wait for an agent too, and what is chosen above."""
RELEASES = "count by (release) (service_info) unless count by (release) (service_info offset 2m)"
LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}


@dataclass(frozen=True, kw_only=True)
class Panel:
    title: str
    says: str
    shows: Mapping[str, str]
    """PromQL by legend."""
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 0
    stacked: bool = False
    red: float | None = None
    """From here on it is bad,"""
    green: float | None = None
    """or from here on it is good."""

    @property
    def size(self) -> tuple[int, int]:
        return self.width or WIDTHS.get(self.kind, WIDTH), HEIGHTS.get(self.kind, HEIGHT)


Rows = Mapping[str, Sequence[Panel]]


def read() -> Rows:
    table = yaml.safe_load(TABLE.read_text())
    return {title: [Panel(**panel) for panel in panels] for title, panels in table.items()}


def write(rows: Rows) -> str:
    """The JSON, with a line for each panel."""
    made = dashboard(rows)
    panels = ",\n  ".join(map(json.dumps, made.pop("panels")))
    head = json.dumps(made, indent=1).removesuffix("\n}")
    return f'{head},\n "panels": [\n  {panels}\n ]\n' + "}\n"


def dashboard(rows: Rows) -> dict[str, Any]:
    return {
        "uid": "agent",
        "title": "Agent",
        "description": "Written by `python -m tools.dashboard`: change panels.yaml.",
        "tags": ["agent"],
        "schemaVersion": 41,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_releases()]},
        "templating": {
            "list": [_source(), _choice("agent", "steps_total"), _choice("lane", "workers")]
        },
        "links": [],
        "panels": list(_placed(rows)),
    }


def _placed(rows: Rows) -> Iterator[dict[str, Any]]:
    """From left to right, and the next line where one is full."""
    numbers, top = count(1), 0
    for title, panels in rows.items():
        place = {"x": 0, "y": top, "w": COLUMNS, "h": HEIGHTS["row"]}
        yield {
            "id": next(numbers),
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": place,
            "panels": [],
        }
        left, top, height = 0, top + HEIGHTS["row"], 0
        for panel in panels:
            width, high = panel.size
            if left + width > COLUMNS:
                left, top, height = 0, top + height, 0
            place = {"x": left, "y": top, "w": width, "h": high}
            yield {"id": next(numbers), **_panel(panel), "gridPos": place}
            left, height = left + width, max(height, high)
        top += height


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        "targets": [
            _target(panel, chr(ord("A") + number), legend, query)
            for number, (legend, query) in enumerate(panel.shows.items())
        ],
    }


def _target(panel: Panel, name: str, legend: str, query: str) -> dict[str, Any]:
    is_instant = panel.kind == "bargauge"
    return {
        "refId": name,
        "datasource": SOURCE,
        "expr": _promql(query),
        "legendFormat": re.sub("<(.*?)>", "{" * 2 + r"\1" + "}" * 2, legend),
        "instant": is_instant,
        "range": not is_instant,
        "format": "heatmap" if panel.kind == "heatmap" else "time_series",
    }


def _promql(query: str) -> str:
    query = re.sub(r"@(\w+)", lambda name: SELECTORS[name[1]], query)
    return query.replace("[]", "[$__rate_interval]")


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": _thresholds(panel)}
    if panel.kind == "timeseries":
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = _lines(panel)
    elif panel.kind != "heatmap":
        defaults["color"] = {"mode": "thresholds"}
    if panel.kind == "stat":
        defaults["mappings"] = [NOTHING]
    if panel.unit == "percentunit":
        defaults["max"] = 1
    return defaults


def _lines(panel: Panel) -> dict[str, Any]:
    return {
        "lineWidth": 1,
        "fillOpacity": 30 if panel.stacked else 8,
        "showPoints": "never",
        "spanNulls": True,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if panel.red is not None else "off"},
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    first, then, edge = "green", "red", panel.red
    if panel.green is not None:
        first, then, edge = "red", "green", panel.green
    steps: list[dict[str, Any]] = [{"color": first, "value": None}]
    if edge is not None:
        steps.append({"color": then, "value": edge})
    return {"mode": "absolute", "steps": steps}


def _options(panel: Panel) -> dict[str, Any]:
    match panel.kind:
        case "stat":
            return {"reduceOptions": LAST, "colorMode": "background", "graphMode": "area"}
        case "bargauge":
            return {"reduceOptions": LAST, "orientation": "horizontal", "displayMode": "lcd"}
        case "heatmap":
            return {
                "calculate": False,
                "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
                "yAxis": {"unit": panel.unit},
            }
        case "state-timeline":
            return {"showValue": "never", "legend": {"showLegend": False}}
    legend = {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _source() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
    }


def _choice(label: str, metric: str) -> dict[str, Any]:
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": f"label_values({metric}, {label})", "refId": label},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _releases() -> dict[str, Any]:
    """A mark where a release first runs."""
    return {
        "name": "releases",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": RELEASES,
        "titleFormat": "release " + "{" * 2 + "release" + "}" * 2,
        "step": "60s",
    }


if __name__ == "__main__":
    FILE.write_text(write(read()))

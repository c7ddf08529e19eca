"""The three dashboards: ``python docker/grafana/board_files.py`` writes the files below ``dashboards/``.

Grafana reads those files and nothing is made when it runs; a test holds them to this module. What a panel needs, a GPU
or the evaluator, follows from the metrics that it asks for, and stands in its title, its description and, for programs,
its field ``fedloraNeeds``.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from cost_board import COST
from federation_board import FEDERATION
from node_board import NODE
from panels import Board, Panel

from fedlora.metrics import metric

__all__ = ["BOARDS", "FOLDER", "dashboard", "needs", "recorded", "text"]

FOLDER = Path(__file__).parent / "dashboards"
RULES = Path(__file__).parents[1] / "prometheus" / "rules" / "recording.yml"
BOARDS = (FEDERATION, NODE, COST)
SOURCE = {"type": "prometheus", "uid": "fedlora-prometheus"}  # as provisioning/datasources names it
SCHEMA = 42
COLUMNS = 24
NAME = re.compile(r"\bfedlora_[a-z_]+\b(?!:)")
RECORDED = re.compile(r"\b[a-z_]+:[a-z0-9_]+:[a-z0-9_]+\b")
WORDS = {"evaluator": "the evaluator's scores", "gpu": "a GPU"}
VARIABLES = {
    "run": ("Run", 'label_values(fedlora_run_state{job="coordinator"}, run)'),
    "node": ("Node", "label_values(fedlora_cpu_seconds_total, node)"),
}


def recorded() -> dict[str, str]:
    """Return the expression of each recording rule by its name."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["record"]: rule["expr"] for group in groups for rule in group["rules"]}


def needs(expression: str) -> set[str]:
    """Return what an expression has no data without, by the catalogue: ``gpu``, ``evaluator``."""
    rules = recorded()
    found = {metric(name).needs for name in NAME.findall(RECORDED.sub("", expression))} - {""}
    return found.union(*(needs(rules[name]) for name in RECORDED.findall(expression)))


def dashboard(board: Board) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    return {
        "uid": f"fedlora-{board.name}",
        "title": f"fedlora: {board.name}",
        "description": board.description,
        "tags": ["fedlora"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "links": [
            {"type": "dashboards", "title": "fedlora", "tags": ["fedlora"], "keepTime": True, "includeVars": True}
        ],
        "annotations": {"list": []},
        "templating": {"list": [_variable(name) for name in board.variables]},
        "panels": list(_panels(board)),
    }


def _variable(name: str) -> dict[str, Any]:
    label, query = VARIABLES[name]
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panels(board: Board) -> Iterator[dict[str, Any]]:
    """Yield a heading for each section and its panels, from left to right and down."""
    number = y = 0
    for title, section in board.sections:
        number, x, height = number + 1, 0, 0
        yield {"id": number, "type": "row", "title": title, "gridPos": _place(0, y, COLUMNS, 1), "panels": []}
        y += 1
        for panel in section:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            number += 1
            yield _panel(panel) | {"id": number, "gridPos": _place(x, y, panel.width, panel.height)}
            x, height = x + panel.width, max(height, panel.height)
        y += height


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel) -> dict[str, Any]:
    wanted = sorted(set().union(*(needs(expression) for expression, _ in panel.queries)))
    words = " and ".join(WORDS[one] for one in wanted)
    table = panel.kind == "table"
    return {
        "type": panel.kind,
        "title": f"{panel.title} (needs {words})" if wanted else panel.title,
        "description": f"{panel.description} Empty without {words}." if wanted else panel.description,
        "fedloraNeeds": wanted,
        "datasource": SOURCE,
        "targets": [_target(place, *query, panel.kind) for place, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": list(_overrides(panel))},
        "options": OPTIONS[panel.kind],
        **({"transformations": _joined(panel)} if table else {}),
    }


def _target(place: int, expression: str, legend: str, kind: str) -> dict[str, Any]:
    once = kind != "timeseries"
    return {
        "refId": chr(ord("A") + place),
        "datasource": SOURCE,
        "expr": expression,
        "legendFormat": legend,
        "instant": once,
        "range": not once,
        **({"format": "table"} if kind == "table" else {}),
    }


LEGEND = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
LAST = {"reduceOptions": {"calcs": ["lastNotNull"]}}
OPTIONS = {
    "timeseries": LEGEND,
    "stat": {**LAST, "colorMode": "value", "graphMode": "none", "textMode": "value_and_name"},
    "bargauge": {**LAST, "orientation": "horizontal", "displayMode": "basic", "showUnfilled": True},
    "table": {"showHeader": True},
}


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"value": None, "color": "green"}, *({"value": at, "color": color} for at, color in panel.thresholds)]
    bounds = {"min": panel.least, "max": panel.most}
    drawn = {"fillOpacity": 30 if panel.stacked else 5, "stacking": {"mode": "normal" if panel.stacked else "none"}}
    limits = {"thresholdsStyle": {"mode": "line" if panel.thresholds else "off"}}
    return {
        "unit": panel.unit,
        **{key: value for key, value in bounds.items() if value is not None},
        "thresholds": {"mode": "absolute", "steps": steps},
        **({"custom": {**drawn, **limits}} if panel.kind == "timeseries" else {}),
    }


def _overrides(panel: Panel) -> Iterator[dict[str, Any]]:
    """Yield the units of a table's columns; each query's values are one."""
    for _, legend in panel.queries if panel.kind == "table" else ():
        if legend in panel.units:
            matcher = {"id": "byName", "options": legend}
            yield {"matcher": matcher, "properties": [{"id": "unit", "value": panel.units[legend]}]}


def _joined(panel: Panel) -> list[dict[str, Any]]:
    """Return what makes one table of a table's queries: a column for the values of each, named by its legend."""
    several = len(panel.queries) > 1
    columns = {
        f"Value #{chr(65 + place)}" if several else "Value": name for place, (_, name) in enumerate(panel.queries)
    }
    hidden = {"Time": True, **{column: True for column, name in columns.items() if not name}}
    renamed = {column: name for column, name in columns.items() if name}
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": hidden, "renameByName": renamed}},
    ]


def main() -> None:
    """Write the files."""
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(text(board), encoding="utf-8")


def text(board: Board) -> str:
    """Return a dashboard's file."""
    return json.dumps(dashboard(board), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()

"""What the dashboards ask, read from their files, with values in place of their variables."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "docker" / "grafana" / "dashboards"
LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)")


@dataclass(frozen=True)
class Query:
    """A query of a panel.

    Attributes
    ----------
    board, panel : str
        Where it stands.
    expression : str
        It, over all runs and nodes.
    legend : str
        How its series are named.
    needs : tuple of str
        What it has no data without: ``gpu``, ``evaluator``.
    """

    board: str
    panel: str
    expression: str
    legend: str
    needs: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.board}: {self.panel}: {self.legend}"


def dashboards() -> list[dict[str, Any]]:
    """Return all dashboards."""
    return [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))]


def queries() -> Iterator[Query]:
    """Yield all queries of all panels."""
    for board in dashboards():
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield Query(
                    board["title"],
                    panel["title"],
                    re.sub(r"\$(run|node)\b", ".*", target["expr"]),
                    target["legendFormat"],
                    tuple(panel["fedloraNeeds"]),
                )


def variables() -> Iterator[tuple[str, str]]:
    """Yield, for each variable, the expression whose series have its values, and their label."""
    for board in dashboards():
        for variable in board["templating"]["list"]:
            selector, label = LABEL_VALUES.fullmatch(variable["query"]).groups()
            yield f"count by ({label}) ({selector})", label

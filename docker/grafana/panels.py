"""What a dashboard is made of: sections of panels, each with its queries.

Of what a site exports as well, runs and cost take the coordinator's word (``job="coordinator"``); what a machine is
like is taken from whoever says it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["NEARLY_USED", "RATIO", "RUN", "RUN_NODE", "Board", "Panel"]


@dataclass(frozen=True)
class Panel:
    """A panel.

    Attributes
    ----------
    title, description : str
        What it shows.
    queries : tuple of (str, str)
        Expression and legend of each; in a table, the legend is the column's name, or "" for one that only adds labels.
    unit : str
        Grafana's name of the unit.
    kind : str
        ``timeseries``, ``stat``, ``bargauge`` or ``table``.
    thresholds : tuple of (float, str)
        Values from which on another colour is used; below the first it is green.
    least, most : float, optional
        Ends of the axis.
    stacked : bool
        Whether series are stacked.
    units : mapping
        Units of a table's columns.
    width, height : int
        Of a grid with 24 columns.
    """

    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    thresholds: tuple[tuple[float, str], ...] = ()
    least: float | None = None
    most: float | None = None
    stacked: bool = False
    units: Mapping[str, str] = field(default_factory=dict)
    width: int = 8
    height: int = 8


@dataclass(frozen=True)
class Board:
    """A dashboard: sections of panels, each with its heading, and the variables that its queries take."""

    name: str
    description: str
    variables: tuple[str, ...]
    sections: tuple[tuple[str, tuple[Panel, ...]], ...]


RUN = 'job="coordinator", run=~"$run"'
RUN_NODE = f'{RUN}, node=~"$node"'
NEARLY_USED = ((0.8, "orange"), (1.0, "red"))
RATIO: dict[str, Any] = {"unit": "percentunit", "least": 0, "most": 1}

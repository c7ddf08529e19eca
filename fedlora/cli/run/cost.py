"""What a run has cost, as `fedlora run show` prints it."""

from collections.abc import Callable, Iterator

from rich.box import SIMPLE_HEAD
from rich.table import Table

from fedlora.cli.amounts import count, percent, rounded
from fedlora.cli.turns import MEBI
from superlink.cost import Cost, RunCost

__all__ = ["cost_lines", "cost_table"]

Figure = Callable[[Cost], str]


def _mebi(value: float | None) -> str:
    return rounded(None if value is None else value / MEBI)


COLUMNS: tuple[tuple[str, Figure], ...] = (
    ("down\nMiB", lambda cost: _mebi(cost.payload_bytes_down)),
    ("up\nMiB", lambda cost: _mebi(cost.payload_bytes_up)),
    ("wire\ndown", lambda cost: _mebi(cost.wire_bytes_down)),
    ("wire\nup", lambda cost: _mebi(cost.wire_bytes_up)),
    ("train\ns", lambda cost: rounded(cost.train_seconds)),
    ("in all\ns", lambda cost: rounded(cost.turn_seconds)),
    ("tokens", lambda cost: count(cost.tokens)),
    ("tokens\n/s", lambda cost: count(cost.tokens_per_second)),
    ("pad-\nding", lambda cost: percent(cost.padding_ratio)),
)
GPU_COLUMNS: tuple[tuple[str, Figure], ...] = (
    ("GPU\ns", lambda cost: rounded(cost.gpu_seconds)),
    ("GPU\nkJ", lambda cost: rounded(None if cost.gpu_joules is None else cost.gpu_joules / 1000)),
)


def cost_table(cost: RunCost) -> Table:
    """Return the cost by site, of all, of a round, and of a point of score; it fits 80 columns."""
    gpu = cost.all.gpu_seconds is not None or cost.all.gpu_joules is not None
    columns = (*COLUMNS, *GPU_COLUMNS) if gpu else COLUMNS
    padding = 0 if gpu else (0, 1, 0, 0)
    table = Table(title="cost", title_justify="left", box=SIMPLE_HEAD, padding=padding)
    table.add_column("", overflow="fold")
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    rows = {**cost.sites, "all": cost.all}
    sums = {"each round": cost.each_round, "each point": cost.each_point}
    for place, (name, one) in enumerate({**rows, **sums}.items(), 1):
        if one is not None:
            end = place == len(cost.sites)
            table.add_row(name, *(figure(one) for _, figure in columns), end_section=end)
    return table


def cost_lines(cost: RunCost) -> Iterator[str]:
    """Yield what the table has no place for."""
    used = f"payload used: {_mebi(cost.payload_bytes)} MiB"
    if cost.forecast_bytes:
        share = cost.payload_bytes / cost.forecast_bytes
        used += f", {share:.1%} of the {_mebi(cost.forecast_bytes)} MiB forecast for the whole run"
    yield used
    if cost.flower_bytes_down is not None or cost.flower_bytes_up is not None:
        until = "" if cost.flower_final else " so far"
        down, up = _mebi(cost.flower_bytes_down), _mebi(cost.flower_bytes_up)
        yield f"Flower itself has counted{until}, with envelopes: {down} MiB down, {up} MiB up"
    if cost.points is not None:
        yield f"score: {cost.points:+.1f} points against the base model"

"""``fedlora adapter show``."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import typer

from fedlora.cli.adapter.arguments import AdapterArgument, EachOption
from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from fedlora.adapters import Adapter
    from fedlora.adapters.measures import Norms

__all__ = ["show"]


def show(directory: AdapterArgument, each: EachOption = False, output: FormatOption = Format.TABLE) -> None:
    """Show what an adapter is made for and of, and how large it is in each kind of module."""
    from rich.console import Console

    from fedlora.adapters import open_adapter
    from fedlora.adapters.measures import measure

    adapter = open_adapter(directory)
    about, norms = _about(adapter), measure(adapter)
    if output is Format.JSON:
        typer.echo(json.dumps({**about, "modules": [dataclasses.asdict(row) for row in norms]}, indent=2))
        return
    console = Console()
    for line in _lines(about):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if norms:
        console.print(_table(norms, each, "direction" if adapter.kind == "dora" else "weight"))


def _about(adapter: "Adapter") -> dict[str, Any]:
    from fedlora.adapters.folder import WEIGHTS

    spec, checkpoint = adapter.spec, adapter.checkpoint
    return {
        "directory": str(adapter.directory),
        "base_model": adapter.base_model,
        "base_model_sha256": spec.base_model_sha256 if spec else None,
        "recipe": spec.recipe if spec else None,
        "kit_version": spec.kit_version if spec else None,
        "kind": adapter.kind,
        "rank": adapter.rank,
        "alpha": adapter.alpha,
        "target_modules": list(adapter.target_modules),
        "tensors": len(adapter.tensors),
        "tensors_of_other_kinds": len(adapter.others),
        "parameters": adapter.size,
        "bytes": (adapter.directory / WEIGHTS).stat().st_size,
        "dtypes": list(adapter.dtypes),
        "checkpoint": dataclasses.asdict(checkpoint) if checkpoint else None,
    }


def _lines(about: dict[str, Any]) -> list[str]:
    lines = [
        ("base model", about["base_model"]),
        ("SHA-256 of it", about["base_model_sha256"] or "not stated"),
        ("recipe", about["recipe"] or "not stated"),
        ("kind", about["kind"]),
        ("rank, alpha", f"{about['rank']}, {about['alpha']:g}"),
        ("modules", ", ".join(about["target_modules"])),
        ("parameters", f"{about['parameters']} in {about['tensors']} tensors of {', '.join(about['dtypes'])}"),
        ("bytes", str(about["bytes"])),
    ]
    if about["tensors_of_other_kinds"]:
        lines.append(("other kinds", f"{about['tensors_of_other_kinds']} tensors, which are not measured below"))
    if about["checkpoint"]:
        changed = about["checkpoint"]["changed"]
        state = f"damaged: {', '.join(changed)} is not what was written" if changed else "all files are as written"
        checkpoint = f"round {about['checkpoint']['round']}, epoch {about['checkpoint']['epoch']}; {state}"
        lines.append(("checkpoint", checkpoint))
    return [f"{what:<15}{value}" for what, value in lines]


def _table(norms: "list[Norms]", each: bool, changed: str) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from fedlora.adapters.measures import total_norms

    table = Table(title="Euclidean norms", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("module" if each else "kind of module")
    for heading in ("modules", "A", "B", f"change of the {changed}"):
        table.add_column(heading, justify="right")
    kinds = {row.kind: [one for one in norms if one.kind == row.kind] for row in norms}
    groups = {row.module: [row] for row in norms} if each else kinds
    for name, rows in [*groups.items(), ("all", norms)]:
        sums = total_norms(rows, name)
        table.add_row(name, str(len(rows)), f"{sums.a:.4g}", f"{sums.b:.4g}", f"{sums.delta:.4g}")
    return table

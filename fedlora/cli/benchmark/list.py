"""``fedlora benchmark list``."""

import json

import typer

from fedlora.cli.options import Format, FormatOption

__all__ = ["list_benchmarks"]


def list_benchmarks(output: FormatOption = Format.TABLE) -> None:
    """List the benchmarks, and where their items stand on the hub."""
    from evaluator.tasks.catalogue import TASKS

    rows = [
        {
            "name": one.name,
            "title": one.title,
            "domain": one.domain,
            "hub": one.hub,
            "subset": one.subset,
            "split": one.split,
            "revision": one.revision,
            "columns": list(one.groups) or [one.name],
        }
        for one in TASKS.values()
    ]
    if output is Format.JSON:
        typer.echo(json.dumps(rows, indent=2))
        return
    line = "{:<15}{:<13}{:<44}{:<34}{:<23}{}"
    typer.echo(line.format("name", "domain", "on the hub", "subset", "split", "revision"))
    for row in rows:
        cells = (row[key] or "-" for key in ("name", "domain", "hub", "subset", "split", "revision"))
        typer.echo(line.format(*cells))

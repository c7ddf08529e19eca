"""``fedlora model list``."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import typer

from fedlora.cli.options import Format, FormatOption

__all__ = ["list_models"]


def list_models(output: FormatOption = Format.TABLE) -> None:
    """List the base models in the cache; `show` holds one to its hash."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from fedlora.language_model.cache import installed

    rows = [_row(name, directory) for name, directory in installed()]
    if output is Format.JSON:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("base model", "revision", "architecture"):
        table.add_column(heading, overflow="fold")
    for heading in ("values", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("licence", overflow="fold")
    table.add_column("SHA-256", no_wrap=True)
    for row in rows:
        if row["problem"]:
            table.add_row(escape(row["name"]), escape(f"unusable: {row['problem']}"))
            continue
        figures = (f"{row['parameters'] / 1e6:,.1f} M", f"{row['bytes'] / 1e6:,.1f} MB")
        texts = (row["name"], row["revision"][:8], row["architecture"], *figures, row["licence"], row["sha256"][:12])
        table.add_row(*map(escape, texts))
    Console(highlight=False).print(table)


def _row(name: str, directory: Path) -> dict[str, Any]:
    from fedlora.errors import BaseModelError
    from fedlora.language_model.cache import manifest_of
    from fedlora.language_model.manifest import describe

    try:
        manifest = manifest_of(directory) or describe(directory, name)
    except BaseModelError as error:
        return {"name": name, "directory": str(directory), "problem": str(error)}
    known = {key: value for key, value in dataclasses.asdict(manifest).items() if key not in ("layout", "files")}
    return {"directory": str(directory), **known, "problem": None}

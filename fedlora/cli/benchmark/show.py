"""``fedlora benchmark show``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.benchmark.table import print_results
from fedlora.cli.options import Format, FormatOption

__all__ = ["show"]


def show(
    results: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of results.", show_default=False)],
    output: FormatOption = Format.TABLE,
) -> None:
    """Show the scores that stand in a folder of results."""
    print_results(results, output)

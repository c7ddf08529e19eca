"""``fedlora benchmark show``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.benchmark.comparison import print_comparison
from fedlora.cli.benchmark.table import print_results
from fedlora.cli.options import Format, FormatOption

__all__ = ["show"]


def show(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folder of results; several are compared.", show_default=False),
    ],
    output: FormatOption = Format.TABLE,
) -> None:
    """Show the scores that stand in a folder of results; of several, the newest adapter of each, tested in pairs.

    The tests are McNemar's, exact and two-sided: whether two models solve the same items equally often.
    """
    if len(results) == 1:
        print_results(results[0], output)
    else:
        print_comparison(results, output)

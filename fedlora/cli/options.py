"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedlora.domains import DOMAINS
from fedlora.environment import runs_directory

__all__ = ["FINANCE", "DomainName", "Format", "FormatOption", "RunName", "RunsOption", "runs_folder"]

DomainName = StrEnum("DomainName", {name: name for name in DOMAINS})  # type: ignore[misc]  # members are data
FINANCE = DomainName("finance")


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="How to print the result.")]
RunName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the run.", show_default=False)]
RunsOption = Annotated[
    Path | None,
    typer.Option(help="The coordinator's folder of runs; FEDLORA_RUNS, else ./runs.", show_default=False),
]


def runs_folder(option: Path | None) -> Path:
    """Return the folder of runs that the command line or the environment names."""
    return option or runs_directory()

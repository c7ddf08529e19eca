"""``fedlora init``: a file to begin a federation with."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["init"]


class PresetName(StrEnum):
    """What to begin with."""

    WORKSTATION = "workstation"
    TWO_SITES = "two-sites"
    FOUR_DOMAINS = "four-domains"


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Gets federation.toml.", show_default=False)],
    preset: Annotated[
        PresetName,
        typer.Option(
            help="One machine; two sites of one domain; two sites of each domain of the FlowerTune benchmark."
        ),
    ] = PresetName.WORKSTATION,
) -> None:
    """Write a federation's file, with comments, that is valid as it stands."""
    from fedlora.federation.writing import new_file, preset_text

    file = new_file(directory, preset_text(str(preset)))
    typer.echo(f"{file} describes a federation: {preset}. Change what differs, then: fedlora config validate {file}")

"""``fedlora pki init``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.pki.arguments import DaysOption, validity

__all__ = ["init"]


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.", show_default=False)],
    federation: Annotated[str, typer.Option(help="Name of the federation.", show_default=False)],
    days: DaysOption = 3650,
) -> None:
    """Make a federation's CA: ca.crt, which everybody gets, and ca.key, which stays here."""
    from fedlora.pki.certificates import create_authority
    from fedlora.pki.secret_files import new_private_directory

    with new_private_directory(directory) as folder:
        made = create_authority(folder, federation=federation, days=days)
    typer.echo(f"CA of {federation}, {validity(made.certificate)}, in {directory}")
    typer.echo(f"give {made.certificate_file} to every site; {made.key_file} never leaves this machine")

"""``fedlora pki evaluator``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.pki.arguments import AuthorityArgument, ForceOption, ServerDaysOption, validity

__all__ = ["evaluator"]


def evaluator(
    directory: AuthorityArgument,
    name: Annotated[str, typer.Option(help="Which evaluator it is.", show_default=False)],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Gets evaluator.crt and evaluator.key.", show_default=False)],
    days: ServerDaysOption = None,
    force: ForceOption = False,
) -> None:
    """Make a certificate and key for an evaluator elsewhere: they open the checkpoints of runs, and nothing else."""
    from fedlora.pki.certificates import issue_evaluator_certificate
    from fedlora.pki.reading import load_authority, read_certificate
    from fedlora.pki.renewal import server_days
    from fedlora.pki.secret_files import new_private_directory

    authority = load_authority(directory)
    with new_private_directory(to) as folder:
        certificate, key = issue_evaluator_certificate(
            authority, folder, name=name, days=server_days(authority, days), replace=force
        )
    typer.echo(f"evaluator {name}, {validity(read_certificate(certificate))}, in {certificate}")
    typer.echo(f"whoever has {key} can read the checkpoints of all runs")

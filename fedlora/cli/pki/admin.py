"""``fedlora pki admin``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.pki.arguments import AuthorityArgument, ForceOption, ServerDaysOption, validity

__all__ = ["admin"]


def admin(
    directory: AuthorityArgument,
    name: Annotated[str, typer.Option(help="Who it is.", show_default=False)],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Gets admin.crt and admin.key.", show_default=False)],
    days: ServerDaysOption = None,
    force: ForceOption = False,
) -> None:
    """Make a certificate and key for an admin: where a proxy asks for one, it opens the SuperLink's Control API."""
    from fedlora.pki.certificates import issue_admin_certificate
    from fedlora.pki.reading import load_authority, read_certificate
    from fedlora.pki.renewal import server_days
    from fedlora.pki.secret_files import new_private_directory

    authority = load_authority(directory)
    with new_private_directory(to) as folder:
        certificate, key = issue_admin_certificate(
            authority, folder, name=name, days=server_days(authority, days), replace=force
        )
    typer.echo(f"admin {name}, {validity(read_certificate(certificate))}, in {certificate}")
    typer.echo(f"whoever has {key} can start runs and admit sites")

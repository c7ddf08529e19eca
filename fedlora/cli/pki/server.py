"""``fedlora pki server``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.pki.arguments import AuthorityArgument, ForceOption, NamesOption, ServerDaysOption, validity

__all__ = ["server"]


def server(
    directory: AuthorityArgument,
    names: NamesOption = [],  # noqa: B006 - Typer makes a new list
    federation: Annotated[
        Path | None,
        typer.Option(help="Take the names from this federation's file, loopback included.", show_default=False),
    ] = None,
    days: ServerDaysOption = None,
    force: ForceOption = False,
) -> None:
    """Make the SuperLink's certificate and key beside its CA; for a SuperLink elsewhere, see `request` and `sign`."""
    from fedlora.pki.certificates import issue_server_certificate
    from fedlora.pki.reading import load_authority, read_certificate
    from fedlora.pki.renewal import server_days
    from fedlora.pki.secret_files import private_directory

    if federation is not None:
        from fedlora.cli.federation_file import read

        names = [*names, *read(federation, []).federation.superlink_names]
    if not names:
        raise typer.BadParameter("a certificate needs names: --name, or --federation FILE", param_hint="--name")
    authority = load_authority(directory)
    certificate, key = issue_server_certificate(
        authority, private_directory(directory), names=names, days=server_days(authority, days), replace=force
    )
    typer.echo(f"SuperLink server {', '.join(names)}, {validity(read_certificate(certificate))}, in {certificate}")
    typer.echo(f"{key} never leaves the SuperLink's machine; a SuperLink that runs reads both when it starts anew")

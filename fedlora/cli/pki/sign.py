"""``fedlora pki sign``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.pki.arguments import ForceOption, ServerDaysOption, validity

__all__ = ["sign"]


def sign(
    request: Annotated[Path, typer.Argument(metavar="CSR", help="The request's file.", show_default=False)],
    authority: Annotated[
        Path, typer.Option("--ca", metavar="DIR", help="Folder with ca.crt and ca.key.", show_default=False)
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The certificate to write.", show_default=False)],
    days: ServerDaysOption = None,
    force: ForceOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether the names and the key are right.")] = False,
) -> None:
    """Sign a SuperLink's request at the CA, if it asks for the server's role and nothing else."""
    from fedlora.pki.reading import key_sha256, load_authority, read_certificate
    from fedlora.pki.renewal import server_days
    from fedlora.pki.requests import read_request, sign_request

    asked, signer = read_request(request), load_authority(authority)
    length = server_days(signer, days)
    typer.echo(f"{request} asks for a SuperLink server's certificate")
    typer.echo(f"  names           {', '.join(asked.names)}")
    typer.echo(f"  SHA-256 of key  {key_sha256(asked.public_key)}")
    if not yes:
        typer.confirm(f"Sign it for {length} days?", abort=True)
    made = sign_request(signer, asked, to, days=length, replace=force)
    typer.echo(f"signed, {validity(read_certificate(made))}, in {made}; bring it to the SuperLink's machine")

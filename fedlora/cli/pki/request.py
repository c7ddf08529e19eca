"""``fedlora pki request``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.pki.arguments import ForceOption

__all__ = ["request"]


def request(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The SuperLink's folder for its credentials.", show_default=False)
    ],
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name", help="A DNS name or IP address that clients will use; give it for each.", show_default=False
        ),
    ] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Ask anew with the key and the names that are there already.")
    ] = False,
    force: ForceOption = False,
) -> None:
    """Make the SuperLink's key on its own machine, and a request that the CA signs; only the request travels."""
    from fedlora.errors import ConfigurationError
    from fedlora.pki.requests import create_request, repeat_request
    from fedlora.pki.secret_files import new_private_directory

    if bool(names) is renew:
        raise ConfigurationError(
            "give either --name, once for each name, or --renew, which takes the names as they are"
        )
    with new_private_directory(directory) as folder:
        made = (
            repeat_request(folder, replace=force) if renew else create_request(folder, names=names or [], replace=force)
        )
    typer.echo(f"request in {made}; sign it at the CA with: fedlora pki sign server.csr --ca DIR --to server.crt")
    if not renew and (directory / "server.crt").exists():
        typer.echo("the server.crt that is there belongs to the key before: without the new one no SuperLink starts")
    typer.echo(f"then bring server.crt to {directory}; {directory / 'server.key'} never leaves this machine")

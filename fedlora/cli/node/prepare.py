"""``fedlora node prepare``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.node.superlink import CertificateOption

__all__ = ["prepare"]


def prepare(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The site's folder for its credentials.", show_default=False)
    ],
    ca_certificate: CertificateOption,
) -> None:
    """Make a site's credentials where they are missing, and print its public key: the one thing that it sends back.

    A site's container calls this each time before the supernode starts; what is there stays.
    """
    from fedlora.cli.local.credentials import complete_site
    from fedlora.pki.node_keys import public_key_pem, public_key_sha256

    made = complete_site(directory, ca_certificate)
    public = directory / "node.key.pub"
    if made:
        typer.echo(f"made anew: {', '.join(made)}", err=True)
    typer.echo(
        f"send the next line to the coordinator, and its SHA-256 by another way: "
        f"{public_key_sha256(public_key_pem(public))}",
        err=True,
    )
    typer.echo(public.read_text().strip())

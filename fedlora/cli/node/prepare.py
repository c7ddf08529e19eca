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
    ca_sha256: Annotated[
        str,
        typer.Option(
            "--ca-sha256",
            metavar="HASH",
            help="Refuse a CA certificate with another fingerprint than this, which the coordinator has told.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Make a site's credentials where they are missing, and print its public key: the one thing that it sends back.

    A site's container calls this each time before the supernode starts; what is there stays.
    """
    from fedlora.cli.local.credentials import complete_site
    from fedlora.pki.node_keys import public_key_pem, public_key_sha256
    from fedlora.pki.reading import certificate_sha256, read_ca_certificate

    made = complete_site(directory, ca_certificate, ca_sha256)
    public = directory / "node.key.pub"
    if made:
        typer.echo(f"made anew: {', '.join(made)}", err=True)
    typer.echo(
        "compare with the coordinator, by another way: the SHA-256 of its ca.crt is "
        f"{certificate_sha256(read_ca_certificate(ca_certificate))}",
        err=True,
    )
    typer.echo(
        f"send the next line to the coordinator, and its SHA-256 by another way: "
        f"{public_key_sha256(public_key_pem(public))}",
        err=True,
    )
    typer.echo(public.read_text().strip())

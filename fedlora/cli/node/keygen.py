"""``fedlora node keygen``."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["keygen"]


def keygen(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The site's folder for its credentials.", show_default=False)
    ],
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace a key that stands there; it is kept with .previous."),
    ] = False,
) -> None:
    """Make a site's node key at the site: node.key, which stays, and node.key.pub, which goes to the coordinator."""
    from fedlora.pki.node_keys import create_node_key, public_key_pem, public_key_sha256
    from fedlora.pki.secret_files import new_private_directory

    with new_private_directory(directory) as folder:
        public = create_node_key(folder / "node.key", replace=force)
    typer.echo(f"node key in {directory / 'node.key'}, which never leaves this machine")
    typer.echo(f"send {public} to the coordinator, and tell them its SHA-256 by another way:")
    typer.echo(f"  {public_key_sha256(public_key_pem(public))}")

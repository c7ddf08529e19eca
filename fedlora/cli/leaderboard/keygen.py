"""``fedlora leaderboard keygen``."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["keygen"]


def keygen(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the key.", show_default=False)],
) -> None:
    """Make a submitter's key: submitter.key, which signs entries, and submitter.pub, which others check them with."""
    from evaluator.leaderboard.signing import create_key, fingerprint, read_public
    from fedlora.pki.secret_files import new_private_directory

    with new_private_directory(directory) as folder:
        key, public = create_key(folder)
    typer.echo(f"key in {key}, which never leaves you")
    typer.echo(f"give {public} to whoever checks your entries, and tell them its SHA-256 by another way:")
    typer.echo(f"  {fingerprint(read_public(public))}")

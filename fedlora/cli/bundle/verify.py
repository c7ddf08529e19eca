"""``fedlora bundle verify``."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["verify"]


def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle's folder.", show_default=False)],
    sha256: Annotated[
        str, typer.Option(metavar="HASH", help="What bundle.json must have, as `make` has told it.", show_default=False)
    ] = "",
) -> None:
    """Hold every file of a bundle to its hash; what is missing, changed or too many is named."""
    from fedlora.air_gap import verify as hold

    manifest = hold(directory, sha256)
    typer.echo(f"{directory} is whole: fedlora {manifest.kit}, {len(manifest.files)} files, {manifest.bytes:,} bytes")
    for image in manifest.images:
        typer.echo(f"  {image.name}  {image.digest or image.id}")
    if manifest.base_model:
        typer.echo(f"  {manifest.base_model}  SHA-256 {manifest.base_model_sha256}")

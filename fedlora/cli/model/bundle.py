"""``fedlora model bundle``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.model.arguments import ModelArgument

__all__ = ["bundle"]


def bundle(
    model: ModelArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The tar file to make.", show_default=False)],
) -> None:
    """Make one file of a base model, to be carried to a site without a network; the same bytes each time."""
    from fedlora.language_model.bundle import write_bundle
    from fedlora.language_model.cache import cached

    manifest = write_bundle(cached(model), file)
    typer.echo(f"{file} holds {manifest.name}, {manifest.bytes:,} bytes. Tell those who import it, by another way:")
    typer.echo(f"SHA-256 {manifest.sha256}")

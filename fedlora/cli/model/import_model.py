"""``fedlora model import``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.model.arguments import IntoOption, Sha256Option, place, standing, told

__all__ = ["import_model"]


def import_model(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A folder, or a bundle of `model bundle`.", show_default=False)
    ],
    name: Annotated[
        str, typer.Option(help="What to call it; else what the source is called.", show_default=False)
    ] = "",
    sha256: Sha256Option = "",
    into: IntoOption = None,
) -> None:
    """Get a base model from a folder or a bundle; every file is held to the source's model.json. Needs no network."""
    from fedlora.errors import BaseModelError
    from fedlora.language_model.importing import announced
    from fedlora.language_model.importing import import_model as write

    claim = announced(source, name)
    directory = place(name or claim.name, into)
    manifest = standing(directory, sha256)
    if manifest is None:
        manifest = write(source, directory, claim, name=name or claim.name, sha256=sha256)
        typer.echo(told(manifest, directory))
    elif manifest.sha256 == claim.sha256:
        typer.echo(f"{told(manifest, directory)}, where it was already")
    else:
        raise BaseModelError(
            f"{directory} holds {manifest.name} with SHA-256 {manifest.sha256}; that in {source} has {claim.sha256}. "
            "Name another folder with --into, or move the old one away"
        )

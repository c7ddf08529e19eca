"""``fedlora bundle images``."""

import dataclasses
import json

import typer

from fedlora.cli.bundle.arguments import PrefixOption, TagOption, VariantOption
from fedlora.cli.options import Format, FormatOption

__all__ = ["images"]


def images(
    prefix: PrefixOption = "fedlora-",
    tag: TagOption = "",
    variant: VariantOption = "",
    output: FormatOption = Format.TABLE,
) -> None:
    """List every image of the kit by its digest, and those that this engine does not have.

    An image that was never pushed to a registry has no digest there: its id is shown, which stays when it is loaded.
    """
    from fedlora.air_gap import find_images

    found = find_images(prefix, tag, variant)
    if output is Format.JSON:
        typer.echo(json.dumps([dataclasses.asdict(image) for image in found], indent=2))
        return
    width = max(len(image.name) for image in found)
    for image in found:
        size = f"{image.bytes / 1e6:6.0f} MB" if image.id else ""
        typer.echo(f"{image.name:<{width}}  {image.digest or image.id or 'not on this engine'}  {size}".rstrip())

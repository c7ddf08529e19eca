"""``fedlora model show``."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import typer

from fedlora.cli.model.arguments import ModelArgument
from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from fedlora.language_model import BaseModel

__all__ = ["show"]

# Bytes in memory: of a weight in bf16; of an adapter's value, its gradient and Adam's two moments in fp32.
A_WEIGHT, AN_ADAPTED_VALUE = 2, 16


def show(model: ModelArgument, output: FormatOption = Format.TABLE) -> None:
    """Show what a base model is, its hash, whether its files are as they came, and the least memory that it needs."""
    from fedlora.language_model.cache import cached, manifest_of
    from fedlora.language_model.manifest import describe

    found = cached(model)
    noted = manifest_of(found.directory)
    manifest = describe(
        found.directory,
        found.name,
        revision=noted.revision if noted else "",
        licence=noted.licence if noted else "",
    )
    about = {
        "directory": str(found.directory),
        **dataclasses.asdict(manifest),
        "changed": sorted({file.name for file in set(manifest.files) ^ set(noted.files)}) if noted else None,
        "memory": _memory(found, manifest.parameters),
    }
    if output is Format.JSON:
        typer.echo(json.dumps(about, indent=2))
    else:
        typer.echo("\n".join(_lines(about)))


def _memory(model: "BaseModel", parameters: int) -> dict[str, Any]:
    """Return the least that a trainer needs, with an adapter of rank 16 in all matrix products where it fits."""
    from math import prod

    from fedlora.domains import DOMAINS
    from fedlora.errors import BaseModelError
    from fedlora.language_model.adapter_shapes import adapter_tensors
    from fedlora.recipes import recipe as recipe_of

    recipe = recipe_of(next(iter(DOMAINS)), "quick")
    try:
        values = sum(prod(tensor.shape) for tensor in adapter_tensors(model, recipe))
    except BaseModelError:  # it has other modules than the recipe's defaults
        values = 0
    least = A_WEIGHT * parameters + AN_ADAPTED_VALUE * values
    return {"rank": recipe.rank if values else None, "adapter_values": values or None, "bytes": least}


def _lines(about: dict[str, Any]) -> list[str]:
    changed, memory = about["changed"], about["memory"]
    state = "no model.json to hold them to" if changed is None else "as they came"
    adapter = f", an adapter of rank {memory['rank']} included" if memory["rank"] else ", without an adapter"
    lines = [
        ("base model", about["name"]),
        ("revision", about["revision"] or "not stated"),
        ("licence", about["licence"] or "not stated"),
        ("architecture", about["architecture"]),
        ("parameters", f"{about['parameters']:,} of {about['dtype']}"),
        ("bytes", f"{about['bytes']:,} in {len(about['files'])} files"),
        ("SHA-256", about["sha256"]),
        ("files", f"changed: {', '.join(changed)}" if changed else state),
        ("memory", f"{memory['bytes'] / 2**20:,.0f} MiB to train{adapter}; activations come on top"),
        ("folder", about["directory"]),
    ]
    return [f"{what:<14}{value}" for what, value in lines]

"""``fedlora bundle make``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.bundle.arguments import PrefixOption, TagOption, VariantOption

__all__ = ["make"]

PartName = StrEnum("PartName", ["images", "charts", "wheels", "model"])


def make(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.", show_default=False)],
    source: Annotated[Path, typer.Option(help="A clone of the kit, for charts and wheels.")] = Path(),
    without: Annotated[
        list[PartName] | None, typer.Option(help="Leave this part out; may be given several times.", show_default=False)
    ] = None,
    base_model: Annotated[
        str, typer.Option(metavar="MODEL", help="The base model.", show_default="SmolLM2-135M-Instruct")
    ] = "",
    extra: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Wheels for this extra of the kit.", show_default="train, eval"),
    ] = None,
    prefix: PrefixOption = "fedlora-",
    tag: TagOption = "",
    variant: VariantOption = "",
) -> None:
    """Pack images, charts, wheels and a base model into one folder, with the hash of each file.

    What cannot be packed is an error, and leaves nothing behind; leave it out on purpose with --without.
    """
    from fedlora.adapters.checkpoint import file_sha256
    from fedlora.air_gap import PARTS, Contents
    from fedlora.air_gap import make as pack
    from fedlora.air_gap.manifest import MANIFEST

    left_out = {one.value for one in without or ()}
    contents = Contents(
        source=source,
        parts=tuple(part for part in PARTS if part not in left_out),
        prefix=prefix,
        tag=tag,
        variant=variant,
        base_model=base_model,
        extras=("train", "eval") if extra is None else tuple(extra),
    )
    made = pack(contents, directory, lambda line: typer.echo(line, err=True))
    typer.echo(f"{directory} holds {', '.join(contents.parts)}: {len(made.files)} files, {made.bytes:,} bytes")
    typer.echo("Tell those who take it in, by another way than the one that brings it:")
    typer.echo(f"SHA-256 of {MANIFEST}: {file_sha256(directory / MANIFEST)}")

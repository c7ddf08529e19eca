"""``fedlora shard partition``."""

import dataclasses
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.options import DomainName, Format, FormatOption
from fedlora.cli.shard.import_shard import ADVICE, ForceOption, LicenceOption, SourceArgument

if TYPE_CHECKING:
    from fedlora.shards import Record
    from fedlora.shards.manifest import Manifest

__all__ = ["By", "partition"]


class By(StrEnum):
    """How the parts differ."""

    IID = "iid"
    LABEL_SKEW = "label-skew"
    SIZE_SKEW = "size-skew"


def partition(
    source: SourceArgument,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Gets the shards part-1, part-2, ...", show_default=False)
    ],
    parts: Annotated[int, typer.Option(min=2, max=10_000, help="Number of shards.", show_default=False)],
    by: Annotated[By, typer.Option(help="What the parts differ in: nothing, their answers, or their sizes.")] = By.IID,
    alpha: Annotated[float, typer.Option(help="Evenness of a skew: 100 is nearly even, 0.1 nearly one-sided.")] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Decides who gets which record.")] = 0,
    domain: Annotated[
        DomainName | None, typer.Option(help="What the records are about; a shard knows it.", show_default=False)
    ] = None,
    licence: LicenceOption = "",
    force: ForceOption = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Divide a data file or a shard into shards, each record into exactly one; for experiments, not for real sites."""
    from fedlora.cli.shard.source import read_source
    from fedlora.errors import ShardError
    from fedlora.folders import new_folder
    from fedlora.shards.shard import write_shard

    read = read_source(source, None if domain is None else str(domain))
    divided = _divide(read.records, parts, by, alpha, seed)
    manifests = {}
    with new_folder(directory, error=ShardError, replaceable=_only_parts if force else None, advice=ADVICE) as folder:
        for number, records in enumerate(divided, 1):
            part = f"part-{number}"
            (folder / part).mkdir(mode=0o700)
            manifests[part] = write_shard(
                records,
                folder / part,
                read.about,
                name=f"{read.name}-{part}",
                licence=licence or read.licence,
            )
    _print(directory, manifests, output)


def _divide(records: "list[Record]", parts: int, by: By, alpha: float, seed: int) -> "list[list[Record]]":
    from fedlora.shards import partition as evenly
    from fedlora.shards.skew import partition_by_label, partition_by_size

    if by is By.IID:
        return evenly(records, parts, seed=seed)
    return (partition_by_label if by is By.LABEL_SKEW else partition_by_size)(records, parts, alpha=alpha, seed=seed)


def _only_parts(directory: Path) -> bool:
    """Say whether a folder holds what this command writes and nothing else."""
    from fedlora.shards.shard import is_shard

    return all(entry.name.startswith("part-") and entry.is_dir() and is_shard(entry) for entry in directory.iterdir())


def _print(directory: Path, manifests: "dict[str, Manifest]", output: Format) -> None:
    from rich.console import Console
    from rich.table import Table

    if output is Format.JSON:
        listed = [{"directory": str(directory / part), **dataclasses.asdict(manifests[part])} for part in manifests]
        typer.echo(json.dumps(listed, indent=2))
        return
    table = Table("part")
    for heading in ("records", "bytes"):
        table.add_column(heading, justify="right")
    table.add_column("SHA-256")
    for part, manifest in manifests.items():
        table.add_row(part, str(manifest.records), str(manifest.bytes), manifest.sha256[:12])
    Console().print(table)

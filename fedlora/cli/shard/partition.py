"""``fedlora shard partition``."""

import dataclasses
import json
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.options import DomainName, Format, FormatOption
from fedlora.cli.shard.options import (
    ADVICE,
    ForceOption,
    KeepDuplicatesOption,
    LicenceOption,
    SkipBadOption,
    SourceArgument,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlora.cli.shard.source import Source
    from fedlora.shards import Record
    from fedlora.shards.division import Owners
    from fedlora.shards.manifest import Manifest
    from fedlora.shards.preparation import Division
    from fedlora.shards.sieve import Sieve
    from fedlora.shards.spool import Spool

__all__ = ["By", "partition"]


class By(StrEnum):
    """How the parts differ."""

    IID = "iid"
    LABEL_SKEW = "label-skew"
    FEW_LABELS = "few-labels"
    SIZE_SKEW = "size-skew"
    NATURAL_ID = "natural-id"


def partition(
    source: SourceArgument,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Gets the shards part-1, part-2, ...", show_default=False)
    ],
    parts: Annotated[int, typer.Option(min=2, max=10_000, help="Number of shards.", show_default=False)],
    by: Annotated[
        By,
        typer.Option(help="What the parts differ in: nothing, their answers, their sizes, or whose records they are."),
    ] = By.IID,
    alpha: Annotated[float, typer.Option(help="Evenness of a skew: 100 is nearly even, 0.1 nearly one-sided.")] = 0.5,
    labels: Annotated[int, typer.Option(min=1, help="With few-labels: how many different ones each part has.")] = 2,
    id_field: Annotated[
        str | None,
        typer.Option(help="With natural-id: the field whose values each stay in one part.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides who gets which record.")] = 0,
    domain: Annotated[
        DomainName | None, typer.Option(help="What the records are about; a shard knows it.", show_default=False)
    ] = None,
    licence: LicenceOption = "",
    skip_bad: SkipBadOption = False,
    keep_duplicates: KeepDuplicatesOption = False,
    force: ForceOption = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Divide a data file or a shard into shards, each record into exactly one; for experiments, not for real sites."""
    from fedlora.cli.shard.source import read_source
    from fedlora.errors import ConfigurationError, ShardError
    from fedlora.folders import new_folder
    from fedlora.shards.preparation import Division
    from fedlora.shards.sieve import Sieve
    from fedlora.shards.skew import check_alpha

    skewed = by in (By.LABEL_SKEW, By.SIZE_SKEW)
    if skewed:
        check_alpha(alpha)  # before the data are read, which may take long
    if (by is By.NATURAL_ID) != (id_field is not None):
        raise ConfigurationError("--by natural-id and --id-field go together: the second names the field of the ids")
    read = read_source(source, None if domain is None else str(domain))
    read = dataclasses.replace(read, licence=licence or read.licence)
    sieve = Sieve(source, read.about, skip_bad=skip_bad, keep_duplicates=keep_duplicates, id_field=id_field)
    rule = Division(
        str(by),
        part=0,
        parts=parts,
        seed=seed,
        alpha=alpha if skewed else None,
        labels=labels if by is By.FEW_LABELS else None,
        id_field=id_field,
    )
    with new_folder(directory, error=ShardError, replaceable=_only_parts if force else None, advice=ADVICE) as folder:
        manifests = _write(folder, read, sieve, rule)
    _print(directory, manifests, output)


def _write(folder: Path, read: "Source", sieve: "Sieve", rule: "Division") -> "dict[str, Manifest]":
    """Write all parts into `folder`; return their manifests."""
    from fedlora.shards.division import numbers_of
    from fedlora.shards.shard import write_shard
    from fedlora.shards.spool import Spool

    manifests = {}
    with Spool(folder / "spool") as spool:
        owners = _divide(sieve.identified(read.rows), spool, rule)
        for number, records in enumerate(numbers_of(owners, rule.parts), 1):
            part = f"part-{number}"
            (folder / part).mkdir(mode=0o700)
            step = dataclasses.replace(sieve.preparation(), division=dataclasses.replace(rule, part=number))
            manifests[part] = write_shard(
                spool.read(records),
                folder / part,
                read.about,
                name=f"{read.name}-{part}",
                licence=read.licence,
                preparation=partial(tuple, (*read.preparation, step)),
            )
    return manifests


def _divide(records: "Iterator[tuple[Record, str]]", spool: "Spool", rule: "Division") -> "Owners":
    """Put all records into the spool, and return for each the number of its part."""
    from fedlora.shards import division, skew
    from fedlora.shards.spool import Ids, Labels

    by = By(rule.by)
    ids, labels = Ids(), Labels()
    for record, identity in records:
        spool.add(record)
        if by is By.NATURAL_ID:
            ids.add(identity)
        elif by in (By.LABEL_SKEW, By.FEW_LABELS):
            labels.add(record.output)
    if by is By.NATURAL_ID:
        return division.partition_by_id(ids.codes, rule.parts, seed=rule.seed)
    if by is By.FEW_LABELS:
        return division.partition_into_few_labels(labels.codes, rule.parts, each=rule.labels or 0, seed=rule.seed)
    if by is By.LABEL_SKEW:
        return skew.partition_by_label(labels.codes, rule.parts, alpha=rule.alpha or 0.0, seed=rule.seed)
    if by is By.SIZE_SKEW:
        return skew.partition_by_size(len(spool), rule.parts, alpha=rule.alpha or 0.0, seed=rule.seed)
    return division.partition_evenly(len(spool), rule.parts, seed=rule.seed)


def _only_parts(directory: Path) -> bool:
    """Say whether a folder holds what this command writes and nothing else."""
    from fedlora.shards.shard import is_shard

    return all(entry.name.startswith("part-") and entry.is_dir() and is_shard(entry) for entry in directory.iterdir())


def _print(directory: Path, manifests: "dict[str, Manifest]", output: Format) -> None:
    from rich.console import Console
    from rich.table import Table

    from fedlora.cli.shard.account import findings

    if output is Format.JSON:
        listed = [{"directory": str(directory / part), **manifests[part].to_dict()} for part in manifests]
        typer.echo(json.dumps(listed, indent=2))
        return
    table = Table("part")
    for heading in ("records", "bytes"):
        table.add_column(heading, justify="right")
    table.add_column("SHA-256")
    for part, manifest in manifests.items():
        table.add_row(part, str(manifest.records), str(manifest.bytes), manifest.sha256[:12])
    Console().print(table)
    for line in findings(manifests["part-1"].preparation[-1]):
        typer.echo(line)

"""``fedlora shard import``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.options import DomainName

__all__ = ["ADVICE", "ForceOption", "LicenceOption", "SourceArgument", "import_shard"]

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A data file (.jsonl, .json, .csv, .parquet; .gz as well), a shard, or hub:OWNER/NAME[:SPLIT].",
        show_default=False,
    ),
]
LicenceOption = Annotated[
    str, typer.Option(help='Of the data: an SPDX expression, "proprietary", or other words.', show_default=False)
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace shards that stand in the folder already.")]
ADVICE = "name another folder, move it away, or replace a shard with --force"


def import_shard(
    source: SourceArgument,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The shard folder to make.", show_default=False)],
    domain: Annotated[DomainName, typer.Option(help="What the records are about.", show_default=False)],
    licence: LicenceOption = "",
    name: Annotated[str, typer.Option(help="What to call the shard; else the folder's name.", show_default=False)] = "",
    force: ForceOption = False,
) -> None:
    """Make a shard folder from a data file: normalised records, and a manifest that holds them to it later."""
    from fedlora.cli.shard.source import read_source
    from fedlora.errors import ShardError
    from fedlora.folders import new_folder
    from fedlora.shards.shard import is_shard, write_shard

    read = read_source(source, str(domain))
    allowed = is_shard if force else None
    with new_folder(directory, error=ShardError, replaceable=allowed, advice=ADVICE) as folder:
        manifest = write_shard(
            read.records,
            folder,
            read.about,
            name=name or directory.resolve().name,
            licence=licence or read.licence,
        )
    typer.echo(
        f"shard {manifest.name}: {manifest.records} records of domain {manifest.domain}, {manifest.bytes} bytes, "
        f"SHA-256 {manifest.sha256[:12]}, in {directory}"
    )

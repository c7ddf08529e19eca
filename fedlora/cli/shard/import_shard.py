"""``fedlora shard import``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.options import DomainName
from fedlora.cli.shard.options import (
    ADVICE,
    ForceOption,
    HeldOutOption,
    KeepDuplicatesOption,
    LicenceOption,
    SkipBadOption,
    SourceArgument,
    WordsOption,
)

__all__ = ["import_shard"]


def import_shard(
    source: SourceArgument,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The shard folder to make.", show_default=False)],
    domain: Annotated[DomainName, typer.Option(help="What the records are about.", show_default=False)],
    licence: LicenceOption = "",
    name: Annotated[str, typer.Option(help="What to call the shard; else the folder's name.", show_default=False)] = "",
    skip_bad: SkipBadOption = False,
    keep_duplicates: KeepDuplicatesOption = False,
    held_out: HeldOutOption = None,
    words: WordsOption = 13,
    drop_leaks: Annotated[
        bool, typer.Option("--drop-leaks", help="Leave out rows that stand in an evaluation set.")
    ] = False,
    force: ForceOption = False,
) -> None:
    """Make a shard folder from a data file: normalised records, and a manifest that holds them to it later."""
    from fedlora.cli.shard.account import findings
    from fedlora.cli.shard.source import read_source
    from fedlora.errors import ConfigurationError, ShardError
    from fedlora.folders import new_folder
    from fedlora.shards.leaks import LeakCheck
    from fedlora.shards.shard import is_shard, write_shard
    from fedlora.shards.sieve import Sieve

    if drop_leaks and not held_out:
        raise ConfigurationError("--drop-leaks leaves out what stands in evaluation sets; name them with --held-out")
    read = read_source(source, str(domain))
    leaks = LeakCheck(held_out, words) if held_out else None
    sieve = Sieve(
        source,
        read.about,
        skip_bad=skip_bad,
        keep_duplicates=keep_duplicates,
        leaks=leaks,
        drop_leaks=drop_leaks,
    )
    allowed = is_shard if force else None
    with new_folder(directory, error=ShardError, replaceable=allowed, advice=ADVICE) as folder:
        manifest = write_shard(
            sieve.records(read.rows),
            folder,
            read.about,
            name=name or directory.resolve().name,
            licence=licence or read.licence,
            preparation=lambda: (*read.preparation, sieve.preparation()),
        )
    typer.echo(
        f"shard {manifest.name}: {manifest.records} records of domain {manifest.domain}, {manifest.bytes} bytes, "
        f"SHA-256 {manifest.sha256[:12]}, in {directory}"
    )
    for line in findings(manifest.preparation[-1]):
        typer.echo(line)

"""``fedlora shard validate``."""

from typing import Annotated

import typer

from fedlora.cli.options import DomainName
from fedlora.cli.shard.options import HeldOutOption, ShardArgument, WordsOption

__all__ = ["validate"]


def validate(
    directory: ShardArgument,
    domain: Annotated[
        DomainName | None, typer.Option(help="The domain that the shard must be of.", show_default=False)
    ] = None,
    held_out: HeldOutOption = None,
    words: WordsOption = 13,
) -> None:
    """Hold the data of a shard to its manifest; everything that is wrong is said at once."""
    from fedlora.cli.shard.account import leak_lines
    from fedlora.domains import domain as by_name
    from fedlora.shards import open_shard
    from fedlora.shards.leaks import LeakCheck
    from fedlora.shards.validation import validate as check

    shard = open_shard(directory, None if domain is None else by_name(str(domain)))
    leaks = LeakCheck(held_out, words) if held_out else None
    check(shard, leaks)
    typer.echo(f"{directory}: {shard.manifest.records} records of domain {shard.manifest.domain} fit the manifest")
    for line in leak_lines(leaks.overlaps() if leaks else ()):
        typer.echo(line)

"""``fedlora shard validate``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.options import DomainName

__all__ = ["ShardArgument", "validate"]

ShardArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The shard folder.", show_default=False)]


def validate(
    directory: ShardArgument,
    domain: Annotated[
        DomainName | None, typer.Option(help="The domain that the shard must be of.", show_default=False)
    ] = None,
) -> None:
    """Hold the data of a shard to its manifest; everything that is wrong is said at once."""
    from fedlora.domains import domain as by_name
    from fedlora.shards import open_shard
    from fedlora.shards.validation import validate as check

    shard = open_shard(directory, None if domain is None else by_name(str(domain)))
    check(shard)
    typer.echo(f"{directory}: {shard.manifest.records} records of domain {shard.manifest.domain} fit the manifest")

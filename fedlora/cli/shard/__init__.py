"""``fedlora shard``: from data files to shard folders, at a site."""

import typer

from fedlora.cli.shard.import_shard import import_shard
from fedlora.cli.shard.partition import partition
from fedlora.cli.shard.show import show
from fedlora.cli.shard.validate import validate

__all__ = ["application"]

application = typer.Typer(
    help="Make shard folders from data files, and look into them.",
    no_args_is_help=True,
    epilog="Example: fedlora shard show tweets",
)
application.command("import", epilog="Example: fedlora shard import tweets.csv tweets --domain finance")(import_shard)
application.command(
    epilog="Example: fedlora shard partition tweets parts --parts 4 --by label-skew --alpha 0.3",
)(partition)
application.command(epilog="Example: fedlora shard validate tweets --domain finance")(validate)
application.command(epilog="Example: fedlora shard show tweets --format json")(show)

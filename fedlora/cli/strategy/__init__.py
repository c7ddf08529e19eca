"""``fedlora strategy``: how updates become the next adapter."""

import typer

from fedlora.cli.strategy.list import list_strategies
from fedlora.cli.strategy.show import show

__all__ = ["application"]

application = typer.Typer(
    help="Look at the aggregation strategies: what each promises, takes and asks for.",
    no_args_is_help=True,
    epilog="Example: fedlora strategy show flexlora",
)
application.command("list", epilog="Example: fedlora strategy list --format json")(list_strategies)
application.command(epilog="Example: fedlora strategy show fedadam")(show)

"""``fedlora audit``: the logs of who did what, at the coordinator and at a site."""

import typer

from fedlora.cli.audit.show import show
from fedlora.cli.audit.verify import verify

__all__ = ["application"]

application = typer.Typer(
    help="Read the log of who did what, and check that nobody has changed it.",
    no_args_is_help=True,
    epilog="Example: fedlora audit verify runs",
)
application.command(epilog="Example: fedlora audit verify site --head 5b0f...")(verify)
application.command(epilog="Example: fedlora audit show runs --what node.registered --format json")(show)

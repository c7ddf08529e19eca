"""``fedlora config``: looking into the file that describes a federation."""

import typer

from fedlora.cli.config.schema import schema
from fedlora.cli.config.show import show
from fedlora.cli.config.validate import validate

__all__ = ["application"]

application = typer.Typer(
    help="Check the file that describes a federation, and show what it means.",
    no_args_is_help=True,
    epilog="Example: fedlora config show federation.toml --resolved",
)
application.command(epilog="Example: fedlora config validate federation.toml")(validate)
application.command(
    epilog="Example: fedlora config show federation.toml --resolved --set coordinator.fleet-port=9192",
)(show)
application.command(epilog="Example: fedlora config schema")(schema)

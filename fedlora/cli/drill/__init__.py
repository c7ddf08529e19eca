"""``fedlora drill``: faults on purpose."""

import typer

from fedlora.cli.drill.list import list_drills
from fedlora.cli.drill.run import run

__all__ = ["application"]

application = typer.Typer(
    help="Bring a fault about in a federation that runs, and see what a run makes of it.",
    no_args_is_help=True,
    epilog="Example: fedlora drill run kill-supernode federation.toml --yes",
)
application.command("list", epilog="Example: fedlora drill list --format json")(list_drills)
application.command(epilog="Example: fedlora drill run kill-superlink --yes --format json")(run)

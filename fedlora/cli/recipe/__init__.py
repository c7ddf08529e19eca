"""``fedlora recipe``: training hyper-parameters by domain."""

import typer

from fedlora.cli.recipe.diff import diff
from fedlora.cli.recipe.list import list_recipes
from fedlora.cli.recipe.show import show

__all__ = ["application"]

application = typer.Typer(
    help="Look at the recipes of the four domains: the benchmark's, ours, and where they differ.",
    no_args_is_help=True,
    epilog="Example: fedlora recipe diff finance/flowertune finance/default",
)
application.command("list", epilog="Example: fedlora recipe list --format json")(list_recipes)
application.command(epilog="Example: fedlora recipe show medical/flowertune-paper")(show)
application.command(epilog="Example: fedlora recipe diff code/flowertune code/flowertune-paper --format json")(diff)

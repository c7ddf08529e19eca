"""``fedlora node policy``: what a site's owner lets others ask of its trainer, and what may leave."""

import typer

from fedlora.cli.node.policy.check import check
from fedlora.cli.node.policy.set import set_policy
from fedlora.cli.node.policy.show import show

__all__ = ["application"]

application = typer.Typer(
    help="At a site: what its owner lets others ask of its trainer, and what may leave.",
    no_args_is_help=True,
    epilog="Example: fedlora node policy show site",
)
application.command(epilog="Example: fedlora node policy show site --format json")(show)
application.command(epilog="Example: fedlora node policy check site")(check)
application.command("set", epilog="Example: fedlora node policy set site most-updates=200 figures=traffic,health")(
    set_policy
)

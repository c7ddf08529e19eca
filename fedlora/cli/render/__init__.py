"""``fedlora render``: folders that are deployed as they are, from the federation's file."""

import typer

from fedlora.cli.render.compose import compose
from fedlora.cli.render.helm import helm

__all__ = ["application"]

application = typer.Typer(
    help="Render a federation's file into folders that are deployed as they are.",
    no_args_is_help=True,
    epilog="Example: fedlora render compose federation.toml --out deploy",
)


@application.callback()
def group() -> None:
    """Render a federation's file into folders that are deployed as they are."""


application.command(epilog="Example: fedlora render compose federation.toml --out deploy --ca ca")(compose)
application.command(epilog="Example: fedlora render helm federation.toml --out values --ca-certificate ca/ca.crt")(helm)

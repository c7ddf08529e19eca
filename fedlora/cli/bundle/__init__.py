"""``fedlora bundle``: the kit for machines without a network."""

import typer

from fedlora.cli.bundle.images import images
from fedlora.cli.bundle.make import make
from fedlora.cli.bundle.verify import verify

__all__ = ["application"]

application = typer.Typer(
    help="Carry the kit across an air gap: images, charts, wheels and a base model, with their hashes.",
    no_args_is_help=True,
    epilog="Example: fedlora bundle make carried --source .",
)
application.command(epilog="Example: fedlora bundle make carried --source . --without images")(make)
application.command(epilog="Example: fedlora bundle verify carried")(verify)
application.command(epilog="Example: fedlora bundle images --format json")(images)

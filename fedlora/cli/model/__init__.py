"""``fedlora model``: base models on this machine."""

import typer

from fedlora.cli.model.bundle import bundle
from fedlora.cli.model.fetch import fetch
from fedlora.cli.model.import_model import import_model
from fedlora.cli.model.list import list_models
from fedlora.cli.model.presets import presets
from fedlora.cli.model.show import show

__all__ = ["application"]

application = typer.Typer(
    help="Get base models, pinned by their hash, and look at those on this machine.",
    no_args_is_help=True,
    epilog="Example: fedlora model show SmolLM2-135M-Instruct",
)
application.command(epilog="Example: fedlora model fetch HuggingFaceTB/SmolLM2-360M-Instruct --revision main")(fetch)
application.command(epilog="Example: fedlora model bundle HuggingFaceTB/SmolLM2-360M-Instruct smollm2.tar")(bundle)
application.command("import", epilog="Example: fedlora model import smollm2.tar")(import_model)
application.command(epilog="Example: fedlora model show SmolLM2-135M-Instruct --format json")(show)
application.command("list", epilog="Example: fedlora model list --format json")(list_models)
application.command(epilog="Example: fedlora model presets --rank 16")(presets)

"""``fedlora adapter merge``."""

import os
from typing import Annotated

import typer

from fedlora.cli.adapter.arguments import AdapterArgument, ToOption

__all__ = ["merge"]


def merge(
    directory: AdapterArgument,
    base_model: Annotated[str, typer.Option(help="Folder of the base model, or a hub id.", show_default=False)],
    to: ToOption,
    any_base_model: Annotated[
        bool, typer.Option("--any-base-model", help="Also into another model than the adapter was trained on.")
    ] = False,
) -> None:
    """Make a folder of a whole model: the base model with the adapter added to its weights."""
    from fedlora.adapters import open_adapter
    from fedlora.errors import AdapterError
    from fedlora.folders import new_folder
    from fedlora.language_model import obtain
    from fedlora.language_model.merging import check_base_model
    from fedlora.language_model.merging import merge as write

    adapter = open_adapter(directory).check()
    base = obtain(base_model)
    if not any_base_model:
        check_base_model(adapter, base)
    # From here on everything is on the disk.
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error")
    with new_folder(to, error=AdapterError) as unfinished:
        write(adapter, base, unfinished)
        unfinished.chmod(0o755)  # for others, as base models are
        for file in unfinished.iterdir():
            file.chmod(0o644)  # safetensors makes files for their owner alone
    typer.echo(f"{base.name} with the adapter {directory} is in {to}")

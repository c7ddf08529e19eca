"""``fedlora adapter export``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.adapter.arguments import ToOption
from fedlora.cli.options import RunsOption, runs_folder

__all__ = ["export"]


def export(
    to: ToOption,
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Folder of an adapter; or give --run.", show_default=False)
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Take a run's newest checkpoint, and tell of the run.", show_default=False)
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="The evaluator's scores.json; of a run, the one in its folder.")
    ] = None,
    name_sites: Annotated[bool, typer.Option("--name-sites", help="Name the sites; else they are counted.")] = False,
    runs: RunsOption = None,
) -> None:
    """Make a folder to hand on: the adapter in PEFT's layout and a model card, the same bytes each time."""
    from fedlora.adapters import open_adapter
    from fedlora.adapters.exporting import export as write
    from fedlora.adapters.scores import read_scores
    from fedlora.cli.adapter.facts import run_facts
    from fedlora.errors import AdapterError, ConfigurationError
    from fedlora.folders import new_folder
    from superlink.runs import RunFolder

    if (directory is None) == (run is None):
        raise ConfigurationError("give the folder of an adapter, or --run NAME, and not both")
    folder = None if run is None else RunFolder(runs_folder(runs), run)
    adapter = open_adapter(folder.adapter if folder else directory or Path()).check()
    facts = run_facts(folder, adapter, names=name_sites) if folder else None
    if scores is None and folder and folder.scores.exists():
        scores = folder.scores
    measured = None if scores is None else read_scores(scores)
    with new_folder(to, error=AdapterError) as unfinished:
        write(adapter, unfinished, facts, measured)
        unfinished.chmod(0o755)  # for others, unlike what it was made from
    typer.echo(f"adapter of {adapter.size} values for {adapter.base_model} in {to}; README.md tells of it")

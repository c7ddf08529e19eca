"""``fedlora leaderboard submit``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.options import DomainName, RunsOption, runs_folder

__all__ = ["submit"]


def submit(
    to: Annotated[Path, typer.Argument(metavar="ENTRY", help="The folder to make.", show_default=False)],
    results: Annotated[
        Path, typer.Option(metavar="DIR", help="The evaluator's results of the adapter.", show_default=False)
    ],
    base_results: Annotated[
        Path, typer.Option(metavar="DIR", help="Its results of the base model alone.", show_default=False)
    ],
    key: Annotated[Path, typer.Option(metavar="FILE", help="Your submitter.key.", show_default=False)],
    title: Annotated[str, typer.Option(help="What stands on the board.", show_default=False)],
    submitter: Annotated[str, typer.Option(help="Who you are.", show_default=False)],
    run: Annotated[
        str | None, typer.Option(help="Take a run's newest adapter, and its figures.", show_default=False)
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Instead: an adapter that no run has made.", show_default=False)
    ] = None,
    domain: Annotated[
        DomainName | None, typer.Option(help="What it was trained for; of a run, its own.", show_default=False)
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A training set; for several, again.", show_default=False)
    ] = None,
    runs: RunsOption = None,
) -> None:
    """Make a signed entry of an adapter, its scores, its base model's, and what its run has cost."""
    from evaluator.leaderboard.signing import read_key
    from evaluator.leaderboard.submission import Submission
    from evaluator.leaderboard.submission import submit as write
    from fedlora.adapters import open_adapter
    from fedlora.cli.adapter.facts import run_facts
    from fedlora.cli.leaderboard.run_figures import run_figures
    from fedlora.errors import ConfigurationError
    from superlink.runs import RunFolder

    if (run is None) == (adapter is None):
        raise ConfigurationError("give --run NAME, or --adapter DIR, and not both")
    folder = None if run is None else RunFolder(runs_folder(runs), run)
    opened = open_adapter(folder.adapter if folder else adapter or Path()).check()
    trained_for = domain.value if domain else folder.config(epoch=1).domain if folder else ""
    if not trained_for:
        raise ConfigurationError("--domain is missing: an adapter of no run does not say what it was trained for")
    made = write(
        Submission(
            title,
            submitter,
            trained_for,
            opened,
            results,
            base_results,
            run_figures(folder, opened) if folder else None,
            run_facts(folder, opened, names=False) if folder else None,
            tuple(data or ()),
        ),
        read_key(key),
        to,
    )
    scores = sum(len(one) for one in made.scores.values())
    typer.echo(f"entry in {to}: {len(made.files)} files, {scores} scores, signed; it was checked as others would")

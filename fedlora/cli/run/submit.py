"""``fedlora run submit``."""

from typing import Annotated

import typer

from fedlora.cli.options import FINANCE, DomainName, RunName, RunsOption, runs_folder

__all__ = ["submit"]

MEGABYTE = 10**6


def submit(
    name: RunName,
    sites: Annotated[str, typer.Option(help="Names of the sites, with commas between.", show_default=False)],
    domain: Annotated[DomainName, typer.Option(help="What the sites' records are about.")] = FINANCE,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of training.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of each site in each round.")] = 10,
    deadline: Annotated[float, typer.Option(min=1, help="Seconds that a site has for a round.")] = 3600.0,
    min_sites: Annotated[int, typer.Option(min=1, help="Updates that a round needs to count.")] = 1,
    fraction: Annotated[float, typer.Option(min=0, max=1, help="Share of the sites sampled for each round.")] = 1.0,
    extensions: Annotated[int, typer.Option(min=0, help="Further deadlines for a round with too few updates.")] = 0,
    budget: Annotated[float, typer.Option(min=0, help="Payload of the whole run in MB; 0 for no limit.")] = 0.0,
    ignore_forecast: Annotated[
        bool, typer.Option("--ignore-forecast", help="Begin although the forecast is beyond the budget.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Decides the first adapter and the samples.")] = 0,
    runs: RunsOption = None,
) -> None:
    """Submit a run; the keeper begins it when those before it have ended.

    The values of the recipe (domain, rounds, steps) must be those that the sites' policies list.
    """
    from fedlora.config import from_mapping
    from fedlora.recipes import Recipe
    from superlink.run_config import RunConfig
    from superlink.runs import RunFolder

    values = {
        "run": name,
        "epoch": 1,
        "sites": sites,
        "domain": str(domain),
        "rounds": rounds,
        "seed": seed,
        "deadline": deadline,
        "min-sites": min_sites,
        "join-timeout": 600.0,
        "recipe-sha256": Recipe(str(domain), rounds=rounds, steps=steps).sha256,
        "fraction": fraction,
        "extensions": extensions,
        "budget-bytes": int(budget * MEGABYTE),
        "ignore-forecast": ignore_forecast,
    }
    config = from_mapping(RunConfig, values, origin="the command line")
    folder = RunFolder(runs_folder(runs), name)
    folder.submit(config)
    typer.echo(
        f"run {name} is submitted: {len(config.site_names)} sites, {rounds} rounds. "
        f"Follow it with: fedlora run watch {name}"
    )

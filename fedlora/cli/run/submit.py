"""``fedlora run submit``."""

from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.options import FINANCE, DomainName, Format, FormatOption, RunName, RunsOption, runs_folder

if TYPE_CHECKING:
    from fedlora.recipes import Recipe
    from superlink.run_config import RunConfig

__all__ = ["submit"]

MEGABYTE = 10**6
HOUR = 3600.0
BOARD = "board"


def submit(
    name: RunName,
    sites: Annotated[
        str,
        typer.Option(
            help="Names of the sites, with commas between; name:domain where one holds another domain.",
            show_default=False,
        ),
    ],
    domain: Annotated[DomainName, typer.Option(help="What the sites' records are about.")] = FINANCE,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of training.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of each site in each round.")] = 10,
    deadline: Annotated[float, typer.Option(min=1, help="Seconds that a site has for a round.")] = 3600.0,
    absence: Annotated[
        float, typer.Option(min=1, help="Seconds that a round with enough updates waits for sites that are offline.")
    ] = 60.0,
    min_sites: Annotated[int, typer.Option(min=1, help="Updates that a round needs to count.")] = 1,
    fraction: Annotated[float, typer.Option(min=0, max=1, help="Share of each domain's sites in each round.")] = 1.0,
    over_sampling: Annotated[
        int, typer.Option(min=0, help="Sites asked beyond that; the round closes without the slowest.")
    ] = 0,
    require_domains: Annotated[
        str, typer.Option(help="Domains, with commas between, that each round needs an update of.", show_default=False)
    ] = "",
    extensions: Annotated[int, typer.Option(min=0, help="Further deadlines for a round with too few updates.")] = 0,
    budget: Annotated[
        str, typer.Option(help="Payload of the whole run in MB; 0 for no limit, board for the leaderboard's 200,000.")
    ] = "0",
    budget_rounds: Annotated[
        int, typer.Option(min=0, help="Rounds that may be begun, repeated ones included; 0 for no limit.")
    ] = 0,
    budget_hours: Annotated[float, typer.Option(min=0, help="Wall-clock of the whole run; 0 for no limit.")] = 0.0,
    ignore_forecast: Annotated[
        bool, typer.Option("--ignore-forecast", help="Begin although the forecast is beyond the budget.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Decides the first adapter and the samples.")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent, in bytes and memory, and submit nothing.")
    ] = False,
    base_model: Annotated[
        str,
        typer.Option(help="With --dry-run: the sites' base model, a folder or a name.", show_default="the demo's"),
    ] = "",
    output: FormatOption = Format.TABLE,
    runs: RunsOption = None,
) -> None:
    """Submit a run; the keeper begins it when those before it have ended.

    The values of the recipe (domain, rounds, steps) must be those that the sites' policies list.
    """
    from fedlora.config import from_mapping
    from fedlora.recipes import Recipe
    from superlink.run_config import RunConfig
    from superlink.runs import RunFolder

    if base_model and not dry_run:
        raise typer.BadParameter("it only serves --dry-run: sites choose their base model", param_hint="--base-model")
    recipe = Recipe(str(domain), rounds=rounds, steps=steps)
    values = {
        "run": name,
        "epoch": 1,
        "sites": sites,
        "domain": str(domain),
        "rounds": rounds,
        "seed": seed,
        "deadline": deadline,
        "absence": absence,
        "min-sites": min_sites,
        "join-timeout": 600.0,
        "recipe-sha256": recipe.sha256,
        "fraction": fraction,
        "over-sampling": over_sampling,
        "required-domains": require_domains,
        "extensions": extensions,
        "budget-bytes": _budget_bytes(budget),
        "budget-rounds": budget_rounds,
        "budget-seconds": budget_hours * HOUR,
        "ignore-forecast": ignore_forecast,
    }
    config = from_mapping(RunConfig, values, origin="the command line")
    folder = RunFolder(runs_folder(runs), name)
    if dry_run:
        folder.check_free()
        _show_forecast(config, recipe, base_model, output)
        return
    folder.submit(config)
    if output is Format.JSON:
        _print_json({"run": name, "state": "queued", "sites": config.site_names, "rounds": rounds})
        return
    typer.echo(
        f"run {name} is submitted: {len(config.site_names)} sites, {rounds} rounds. "
        f"Follow it with: fedlora run watch {name}"
    )


def _budget_bytes(text: str) -> int:
    from superlink.budget import BOARD_BYTES

    if text == BOARD:
        return BOARD_BYTES
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = -1.0
    if not 0 <= megabytes < float("inf"):
        raise typer.BadParameter(
            f"{text!r} is neither a number of MB, 0 for no limit, nor {BOARD}", param_hint="--budget"
        )
    return int(megabytes * MEGABYTE)


def _show_forecast(config: "RunConfig", recipe: "Recipe", base_model: str, output: Format) -> None:
    from dataclasses import asdict

    from fedlora.language_model import DEFAULT_BASE_MODEL, obtain
    from fedlora.language_model.adapter_shapes import adapter_tensors
    from superlink.forecast import forecast

    model = obtain(base_model or DEFAULT_BASE_MODEL)
    expected = forecast(config, adapter_tensors(model, recipe))
    if output is Format.JSON:
        _print_json({"run": config.run, "base_model": model.name, **asdict(expected)})
        return
    share = f", {expected.run_bytes / expected.budget_bytes:.1%} of the budget" if expected.budget_bytes else ""
    typer.echo(
        f"run {config.run} would take, if every site is asked once in each round:\n"
        f"  adapter      {expected.values:,} values in {expected.tensors} tensors: "
        f"rank {recipe.rank} on {model.name}\n"
        f"  a message    {_megabytes(expected.message_bytes)}, to a site or from it\n"
        f"  a round      {_megabytes(expected.round_bytes)}: {expected.sites} of {len(config.site_names)} sites, "
        f"both directions\n"
        f"  the run      {_megabytes(expected.run_bytes)}: {expected.rounds} rounds{share}\n"
        f"  memory       at most {_megabytes(expected.memory_bytes)} of arrays at the coordinator\n"
        f"Payload alone: envelopes, TLS and repeated messages come on top. Nothing was submitted."
    )


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:,.1f} MB"


def _print_json(document: dict[str, object]) -> None:
    import json

    typer.echo(json.dumps(document, indent=2))

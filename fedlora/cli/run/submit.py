"""``fedlora run submit``."""

from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.federation_file import DEFAULT_FILE, FileArgument, SetOption, read
from fedlora.cli.options import Format, FormatOption, RunName

if TYPE_CHECKING:
    from fedlora.federation import Federation
    from superlink.run_config import RunConfig

__all__ = ["submit"]

MEGABYTE = 10**6


def submit(
    name: RunName,
    file: FileArgument = DEFAULT_FILE,
    settings: SetOption = [],  # noqa: B006 - Typer makes a new list
    sites: Annotated[
        list[str],
        typer.Option("--site", metavar="SITE", help="Only this site takes part; may be given several times."),
    ] = [],  # noqa: B006
    ignore_forecast: Annotated[
        bool, typer.Option("--ignore-forecast", help="Begin although the forecast is beyond the budget.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent, in bytes and memory, and submit nothing.")
    ] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Submit a run as the federation's file describes it; the keeper begins it when those before it have ended.

    Sites hold the recipe against their own policies: with --set, one changes what is asked, not what they allow.
    """
    from fedlora.audit import Event, person
    from superlink.run_config import RunConfig
    from superlink.runs import RunFolder

    federation = _among(read(file, settings).federation, sites)
    folder = RunFolder(federation.coordinator.runs, name)
    folder.check_free()
    config = RunConfig.of(federation, name, ignore_forecast=ignore_forecast)
    if dry_run:
        _show_forecast(config, federation, output)
        return
    folder.submit(config, federation.run_recipe)
    folder.audit(person()).note(
        Event.RUN_SUBMITTED,
        run=name,
        sites=config.site_names,
        rounds=config.rounds,
        recipe_sha256=config.recipe_sha256,
    )
    if output is Format.JSON:
        _print_json({"run": name, "state": "queued", "sites": config.site_names, "rounds": config.rounds})
        return
    typer.echo(
        f"run {name} is submitted: {len(config.site_names)} sites, {config.rounds} rounds. "
        f"Follow it with: fedlora run watch {name}"
    )


def _among(federation: "Federation", sites: list[str]) -> "Federation":
    """Return the federation with no other sites than these, if any are named."""
    from dataclasses import replace

    from fedlora.errors import ConfigurationError

    taking_part = [site.name for site in federation.participants]
    for name in sites:
        if name not in taking_part:
            raise ConfigurationError(
                f"--site {name}: no site of that name takes part in this run; there are {', '.join(taking_part)}"
            )
    return replace(federation, site=tuple(one for one in federation.site if one.name in sites or not sites))


def _show_forecast(config: "RunConfig", federation: "Federation", output: Format) -> None:
    from dataclasses import asdict

    from fedlora.language_model import obtain
    from fedlora.language_model.adapter_shapes import adapter_tensors
    from superlink.forecast import forecast

    model, recipe = obtain(federation.base_model), federation.run_recipe
    expected = forecast(config, adapter_tensors(model, recipe))
    if output is Format.JSON:
        _print_json({"run": config.run, "base_model": model.name, **asdict(expected)})
        return
    share = f", {expected.run_bytes / expected.budget_bytes:.1%} of the budget" if expected.budget_bytes else ""
    most = "at most " if expected.bounded else ""
    typer.echo(
        f"run {config.run} would take, if every site is asked once in each round:\n"
        f"  adapter      {expected.values:,} values in {expected.tensors} tensors: "
        f"rank {recipe.rank} on {model.name}\n"
        f"  a message    {_megabytes(expected.broadcast_bytes)} to a site in {expected.broadcast_codec}, "
        f"{_megabytes(expected.update_bytes)} from it in {expected.upload_codec}\n"
        f"  a round      {most}{_megabytes(expected.round_bytes)}: {expected.sites} of {len(config.site_names)} sites, "
        f"both directions\n"
        f"  the run      {most}{_megabytes(expected.run_bytes)}: {expected.rounds} rounds{share}\n"
        f"  memory       at most {_megabytes(expected.memory_bytes)} of arrays at the coordinator\n"
        f"Payload alone: envelopes, TLS and repeated messages come on top. Nothing was submitted."
    )


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:,.1f} MB"


def _print_json(document: dict[str, object]) -> None:
    import json

    typer.echo(json.dumps(document, indent=2))

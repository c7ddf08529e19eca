"""``fedlora drill run``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.federation_file import DEFAULT_FILE, SetOption, read
from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from fedlora.cli.drill.exercise import Outcome
    from fedlora.cli.drill.runs import Runs
    from fedlora.drills import Drill, Field

__all__ = ["run"]

TargetArgument = Annotated[
    Path,
    typer.Argument(
        metavar="TARGET", help="The file of a federation that `fedlora up` runs, or the folder that render has made."
    ),
]


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the drill.", show_default=False)],
    target: TargetArgument = DEFAULT_FILE,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what it would do.")] = False,
    site: Annotated[
        str, typer.Option(help="Which site it strikes; the run's first, if none is named.", show_default=False)
    ] = "",
    strike: Annotated[int, typer.Option("--round", min=1, help="The round in whose middle it strikes.")] = 2,
    seconds: Annotated[
        float,
        typer.Option(min=0, help="How long the fault lasts; 0 for the drill's own time.", show_default=False),
    ] = 0.0,
    reference: Annotated[
        str,
        typer.Option(
            metavar="RUN",
            help="A completed run without a fault, of the same settings, to compare with; else there is one first.",
            show_default=False,
        ),
    ] = "",
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait for each step of the drill.")] = 600.0,
    settings: SetOption = [],  # noqa: B006 - Typer makes a new list
    output: FormatOption = Format.TABLE,
) -> None:
    """Submit a run, bring a fault about in the middle of it, and report what that has cost.

    Reports the seconds until a round was aggregated after the fault, rounds and bytes that were lost, and whether the
    final adapter has the bits of a run without a fault. It fails if the run does, or if the bits differ though no site
    fell out of a round.
    """
    from fedlora.drills import drill_named
    from fedlora.errors import RunError

    drill = drill_named(name).lasting(seconds)
    field, runs, sites = _found(target, settings)
    _check(drill, field, runs, site, sites)
    outcome = _exercise(drill, field, runs, site or sites[0], settings, reference, strike, patience, yes)
    if output is Format.JSON:
        typer.echo(json.dumps(outcome.facts(), indent=2))
    else:
        _print(outcome)
    if outcome.state != "completed":
        raise RunError(f"run {outcome.run} is {outcome.state}: {outcome.reason}")
    if outcome.same_adapter is False:
        raise RunError(f"the adapter of run {outcome.run} differs from that of {outcome.reference}, which had no fault")


def _found(target: Path, settings: list[str]) -> "tuple[Field, Runs, tuple[str, ...]]":
    """Return the federation that `target` names: its field, its runs, and the sites of runs."""
    from fedlora.cli.drill.compose_field import ComposeField
    from fedlora.cli.drill.process_field import ProcessField
    from fedlora.cli.drill.runs import ComposeRuns, ProcessRuns
    from fedlora.federation import Federation

    def sites(federation: Federation) -> tuple[str, ...]:
        return tuple(one.name for one in federation.participants)

    if target.is_dir():
        deployment = ComposeField(target)
        return deployment, ComposeRuns(deployment.ask), sites(read(deployment.federation_file, settings).federation)
    federation = read(target, settings).federation
    return ProcessField(federation), ProcessRuns(target, settings), sites(federation)


def _check(drill: "Drill", field: "Field", runs: "Runs", site: str, sites: tuple[str, ...]) -> None:
    """Refuse what cannot be drilled.

    Raises
    ------
    ConfigurationError
        If the drill cannot run here, or the site takes no part in runs.
    NotReadyError
        If the federation is not whole, or a run is under way.
    """
    from fedlora.drills.drill import lacking
    from fedlora.errors import ConfigurationError, NotReadyError

    if field.place not in drill.needs:
        places = " or ".join(place.value for place in drill.needs)
        raise ConfigurationError(f"drill {drill.name} runs on {places}, and this is {field.place.value}")
    if missing := lacking(drill.needs[field.place]):
        raise ConfigurationError(f"drill {drill.name} needs {', '.join(missing)} here, which is not there")
    if site and site not in sites:
        raise ConfigurationError(f"site {site} takes no part in runs of this federation; those are {', '.join(sites)}")
    field.check()
    if busy := runs.under_way():
        raise NotReadyError(f"run {busy} has not ended, and a drill would disturb it: wait for it, or stop it")


def _exercise(
    drill: "Drill",
    field: "Field",
    runs: "Runs",
    site: str,
    settings: list[str],
    reference: str,
    strike: int,
    patience: float,
    yes: bool,
) -> "Outcome":
    import secrets

    from fedlora.cli.drill.exercise import exercise, undisturbed
    from fedlora.drills.faults import FAULTS
    from fedlora.errors import ConfigurationError

    def say(text: str) -> None:
        typer.echo(f"- {text}", err=True)

    own = f"{drill.name}-{secrets.token_hex(3)}"
    fault = FAULTS[drill.kind](field, drill, site, own)
    if not yes:
        raise ConfigurationError(f"drill {drill.name} would {fault.plan}. Nothing was done; do it with --yes")
    if not reference and not drill.late:
        reference = f"{own}-undisturbed"
        say(f"run {reference}, without a fault")
        undisturbed(runs, reference, settings, patience)
    return exercise(
        drill,
        fault,
        runs,
        settings,
        reference="" if drill.late else reference,
        strike_round=strike,
        seconds=patience,
        say=say,
    )


def _print(outcome: "Outcome") -> None:
    cost = outcome.recovery
    back = "never" if cost.recovery_seconds is None else f"{cost.recovery_seconds:.1f} s after the fault was over"
    same = {True: "yes, bit for bit", False: "NO", None: "not compared"}[outcome.same_adapter]
    mebi = 2**20
    typer.echo(
        f"drill {outcome.drill}, struck in round {outcome.struck_in_round} of run {outcome.run}: {outcome.state}\n"
        f"  the fault lasted          {outcome.fault_seconds:.1f} s\n"
        f"  recovered                 {back}\n"
        f"  rounds lost               {cost.rounds_lost}, each trained again; {cost.attempts} attempts\n"
        f"  turns lost                {cost.turns_lost}\n"
        f"  payload wasted            {cost.bytes_wasted / mebi:.2f} of {cost.payload_bytes / mebi:.2f} MiB\n"
        f"  the undisturbed adapter   {same}"
    )

"""``fedlora drill run``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.federation_file import DEFAULT_FILE, SetOption, read
from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from fedlora.cli.drill.compose_field import ComposeField
    from fedlora.cli.drill.exercise import Outcome
    from fedlora.cli.drill.process_field import ProcessField
    from fedlora.cli.drill.runs import Runs
    from fedlora.drills import Drill, Field
    from fedlora.drills.faults import Fault

    DrillField = ComposeField | ProcessField

__all__ = ["run"]

TargetArgument = Annotated[
    Path,
    typer.Argument(
        metavar="TARGET",
        help="The file of a federation that `fedlora up` runs, or the folder that `fedlora render compose` has made.",
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
    ca: Annotated[
        Path | None,
        typer.Option(
            help="Containers: folder of ca.key, of which expired-certificate makes one; else the folder ca in TARGET.",
            show_default=False,
        ),
    ] = None,
    settings: SetOption = [],  # noqa: B006 - Typer makes a new list
    output: FormatOption = Format.TABLE,
) -> None:
    """Submit a run, bring a fault about in the middle of it, and report what that has cost.

    Reports the seconds until a round was aggregated after the fault, rounds and bytes that were lost, and whether the
    final adapter has the bits of a run without a fault. It fails if the run does, or if the bits differ though no site
    fell out of a round.
    """
    import secrets

    from fedlora.drills import drill_named
    from fedlora.drills.faults import FAULTS
    from fedlora.errors import ConfigurationError, NotReadyError, RunError

    drill = drill_named(name).lasting(seconds)
    field, file = _found(target, ca, settings)
    sites = tuple(one.name for one in read(file, settings).federation.participants)
    _check(drill, field, site, sites)
    fault = FAULTS[drill.kind](field, drill, site or sites[0], f"{drill.name}-{secrets.token_hex(3)}")
    if not yes:
        raise ConfigurationError(f"drill {drill.name} would {fault.plan}. Nothing was done; do it with --yes")
    with field.runs(file, settings) as runs:
        if busy := runs.under_way():
            raise NotReadyError(f"run {busy} has not ended, and a drill would disturb it: wait for it, or stop it")
        outcome = _exercise(drill, fault, runs, reference, strike, patience)
    if output is Format.JSON:
        typer.echo(json.dumps(outcome.facts(), indent=2))
    else:
        _print(outcome)
    if outcome.state != "completed":
        raise RunError(f"run {outcome.run} is {outcome.state}: {outcome.reason}")
    if outcome.same_adapter is False:
        raise RunError(f"the adapter of run {outcome.run} differs from that of {outcome.reference}, which had no fault")


def _found(target: Path, ca: Path | None, settings: list[str]) -> "tuple[DrillField, Path]":
    """Return the federation that `target` names, and its file."""
    from fedlora.cli.drill.compose_field import ComposeField
    from fedlora.cli.drill.process_field import ProcessField

    if target.is_dir():
        deployment = ComposeField(target, ca or target / "ca")
        return deployment, deployment.federation_file
    return ProcessField(read(target, settings).federation), target


def _check(drill: "Drill", field: "Field", site: str, sites: tuple[str, ...]) -> None:
    """Refuse what cannot be drilled.

    Raises
    ------
    ConfigurationError
        If the drill cannot run here, or lacks something, or the site takes no part in runs.
    NotReadyError
        If the federation is not whole.
    """
    from fedlora.drills.drill import lacking
    from fedlora.errors import ConfigurationError

    if field.place not in drill.needs:
        places = " or ".join(place.value for place in drill.needs)
        raise ConfigurationError(f"drill {drill.name} runs on {places}, and this is {field.place.value}")
    if missing := lacking(drill.needs[field.place]):
        raise ConfigurationError(f"drill {drill.name} needs {', '.join(missing)} here, which is not there")
    if site and site not in sites:
        raise ConfigurationError(f"site {site} takes no part in runs of this federation; those are {', '.join(sites)}")
    field.check()


def _exercise(drill: "Drill", fault: "Fault", runs: "Runs", reference: str, strike: int, patience: float) -> "Outcome":
    from fedlora.cli.drill.exercise import exercise, undisturbed

    def say(text: str) -> None:
        typer.echo(f"- {text}", err=True)

    if not reference and not drill.late:
        reference = f"{fault.run}-undisturbed"
        say(f"run {reference}, without a fault")
        undisturbed(runs, reference, patience)
    return exercise(
        drill,
        fault,
        runs,
        reference="" if drill.late else reference,
        strike_round=strike,
        seconds=patience,
        say=say,
    )


def _print(outcome: "Outcome") -> None:
    cost = outcome.recovery
    back = (
        "the run had ended by then"
        if cost.recovery_seconds is None
        else f"{cost.recovery_seconds:.1f} s after the fault was over"
    )
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

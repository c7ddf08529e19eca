"""``fedlora backup`` and ``fedlora restore``."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.federation_file import DEFAULT_FILE, FileArgument, SetOption, read
from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from fedlora.federation import Federation
    from superlink.backup import Backup, Places

__all__ = ["backup", "restore"]


def backup(
    to: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.", show_default=False)],
    file: FileArgument = DEFAULT_FILE,
    settings: SetOption = [],  # noqa: B006 - Typer makes a new list
    with_keys: Annotated[
        bool,
        typer.Option("--with-keys", help="Copy the SuperLink's key and the SuperExec's secret too; the CA's never."),
    ] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Back up a coordinator while it runs: Flower's database, the runs, who is admitted, and the federation's file.

    It goes where nobody reads it who may not read the runs: there are adapters in it, and in the database updates that
    are on their way.
    """
    from fedlora.audit import person
    from fedlora.federation.writing import to_toml
    from superlink.backup import make_backup

    federation = read(file, settings).federation
    made, sha256 = make_backup(_places(federation), to_toml(federation), to, by=person(), keys=with_keys)
    if output is Format.JSON:
        typer.echo(json.dumps({"folder": str(to), "sha256": sha256, **asdict(made)}, indent=2))
        return
    typer.echo(f"{len(made.files)} files in {to}, of {made.made_at}: {_runs(made)}")
    typer.echo(f"its list {to}/backup.json has the SHA-256 {sha256}: keep it elsewhere")
    for name, why in made.apart.items():
        typer.echo(f"not in it: {name}, {why}")


def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="The folder of a backup.", show_default=False)],
    file: FileArgument = DEFAULT_FILE,
    settings: SetOption = [],  # noqa: B006 - Typer makes a new list
    sha256: Annotated[
        str,
        typer.Option(metavar="SHA256", help="What its backup.json must have, as `backup` told it.", show_default=False),
    ] = "",
    output: FormatOption = Format.TABLE,
) -> None:
    """Restore a coordinator from a backup, where nothing of one stands; runs go on from their rounds in it.

    FILE says where everything goes; where there is none, the backup's own is written there first.
    """
    from fedlora.audit import person
    from fedlora.cli.local.board import Board
    from fedlora.errors import BackupError
    from superlink.backup import FEDERATION
    from superlink.restoring import EPOCHS_BEYOND, read_backup
    from superlink.restoring import restore as restored

    read_backup(source)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((source / FEDERATION).read_bytes())
        typer.echo(f"{file} is written as the backup has it", err=True)
    federation = read(file, settings).federation
    if Board(federation.paths.state).is_held():
        raise BackupError(f"{federation.name} is up; stop it first, with: fedlora down {file}")
    found = restored(source, _places(federation), by=person(), sha256=sha256)
    if output is Format.JSON:
        typer.echo(json.dumps({"folder": str(source), **asdict(found)}, indent=2))
        return
    typer.echo(f"restored as of {found.made_at}: {_runs(found)}")
    typer.echo("rounds that were aggregated after that are trained again; runs submitted after that are not there")
    typer.echo(f"the next attempt of a run is {EPOCHS_BEYOND} epochs on: sites refuse those that they have seen")
    for name, why in found.apart.items():
        typer.echo(f"not in it: {name}, {why}")


def _places(federation: "Federation") -> "Places":
    from fedlora.cli.local.federation import COORDINATOR
    from fedlora.environment import mounted_coordinator
    from superlink.backup import Places

    if mounted := mounted_coordinator():
        database, certificate = mounted
        return Places(database, federation.coordinator.runs, certificate)
    return Places.in_folder(federation.paths.state / COORDINATOR, federation.coordinator.runs)


def _runs(made: "Backup") -> str:
    return ", ".join(f"run {name} to round {last}" for name, last in made.runs.items()) or "no run"

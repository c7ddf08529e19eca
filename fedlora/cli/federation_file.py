"""The federation's file, as an argument that many commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedlora.federation import Resolved

__all__ = ["DEFAULT_FILE", "FileArgument", "SetOption", "read"]

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The federation's file.")]
DEFAULT_FILE = Path("federation.toml")
SetOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a value whatever the file says: coordinator.fleet-port=9192, site.a.resources.threads=4.",
        show_default=False,
    ),
]


def read(file: Path, settings: list[str]) -> "Resolved":
    """Read `file` under the environment and the options ``--set``; the same key twice, the last counts."""
    from fedlora.environment import federation_overrides
    from fedlora.federation import Override, read_federation

    overrides = [Override.from_environment(name, text) for name, text in federation_overrides().items()]
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not key.strip() or not equals:
            raise typer.BadParameter(f"{setting!r} is not KEY=VALUE", param_hint="--set")
        overrides.append(Override.from_command_line(key.strip(), text.strip()))
    return read_federation(file, overrides)

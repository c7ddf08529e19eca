"""Which audit log a command means."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.options import runs_folder

__all__ = ["LogArgument", "log_file"]

LogArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[LOG]",
        help="The log, or the folder that it is of: runs, or a site's; without it, that of FEDLORA_RUNS, else ./runs.",
        show_default=False,
    ),
]


def log_file(log: Path | None) -> Path:
    """Return the log that `log` names.

    Raises
    ------
    AuditError
        If there is none.
    """
    from fedlora.audit import FILE
    from fedlora.cli.node.site import settings_of
    from fedlora.errors import AuditError

    place = runs_folder(log)
    file = place / FILE if place.is_dir() else place
    if not file.exists() and (place / "supernode.toml").exists():
        file = settings_of(place).state / FILE
    if not file.is_file():
        raise AuditError(
            f"there is no audit log {file}; name one, or the folder of the runs, or that of a site with its "
            "supernode.toml"
        )
    return file

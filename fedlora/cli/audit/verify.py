"""``fedlora audit verify``."""

import dataclasses
import json
import re
from typing import Annotated

import typer

from fedlora.cli.audit.log import LogArgument, log_file
from fedlora.cli.options import Format, FormatOption

__all__ = ["verify"]

SHA256 = re.compile("[0-9a-f]{64}")


def verify(
    log: LogArgument = None,
    head: Annotated[
        str,
        typer.Option(
            metavar="SHA256", help="A head that was kept elsewhere: a line must have this hash.", show_default=False
        ),
    ] = "",
    output: FormatOption = Format.TABLE,
) -> None:
    """Check an audit log line by line, and name the first that was changed, removed, inserted or cut off.

    That whole lines are missing at the end shows only by a head that was kept where nobody who changes the log gets.
    """
    from fedlora.audit import verify as verified
    from fedlora.errors import AuditError, ConfigurationError

    if head and not SHA256.fullmatch(head):
        raise ConfigurationError(
            f"--head {head!r} is no hash; allowed: 64 digits of 0-9 and a-f, as verify prints them"
        )
    file = log_file(log)
    found = verified(file, head)
    if output is Format.JSON:
        typer.echo(json.dumps({"log": str(file), **dataclasses.asdict(found)}, indent=2))
    elif not found.problem:
        typer.echo(f"{file}: {found.lines} lines, each as it was written")
        typer.echo(f"head {found.head}: keep it elsewhere; --head says later whether this end is still there")
    if found.problem:
        raise AuditError(
            f"{file}: line {found.line} {found.problem}; the {found.lines} before it are as they were written"
        )

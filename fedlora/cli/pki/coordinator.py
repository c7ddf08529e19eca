"""``fedlora pki coordinator``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.pki.arguments import AuthorityArgument, ServerDaysOption, validity

__all__ = ["coordinator"]


def coordinator(
    directory: AuthorityArgument,
    federation: Annotated[Path, typer.Option(help="The federation's file: it has the names.", show_default=False)],
    to: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Gets what the containers of the coordinator need.", show_default=False),
    ],
    days: ServerDaysOption = None,
) -> None:
    """Make what the coordinator's containers need: ca.crt, the SuperLink's pair, the keeper's, a secret; not ca.key."""
    from fedlora.cli.federation_file import read
    from fedlora.pki.certificates import issue_coordinator_credentials
    from fedlora.pki.reading import load_authority, read_certificate
    from fedlora.pki.renewal import server_days
    from fedlora.pki.secret_files import new_private_directory

    names = read(federation, []).federation.superlink_names
    authority = load_authority(directory)
    valid = server_days(authority, days)
    with new_private_directory(to) as folder:
        made = issue_coordinator_credentials(authority, folder, names=names, days=valid)
    typer.echo(f"SuperLink server {', '.join(names)}, {validity(read_certificate(made['server.crt']))}")
    typer.echo(f"in {to}: {', '.join(made)}; they never leave the coordinator's machine, ca.crt excepted")

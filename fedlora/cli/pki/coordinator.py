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
    from fedlora.pki.certificates import issue_admin_certificate, issue_server_certificate
    from fedlora.pki.reading import load_authority, read_certificate
    from fedlora.pki.renewal import server_days
    from fedlora.pki.secret_files import create_secret, new_private_directory, refuse_existing, write_private

    names = read(federation, []).federation.superlink_names
    authority = load_authority(directory)
    valid = server_days(authority, days)
    made = ("ca.crt", "server.crt", "server.key", "admin.crt", "admin.key", "superexec.secret")
    with new_private_directory(to) as folder:
        refuse_existing(*(folder / name for name in made))
        write_private(folder / "ca.crt", authority.certificate_file.read_bytes())
        certificate, _ = issue_server_certificate(authority, folder, names=names, days=valid)
        issue_admin_certificate(authority, folder, name="keeper", days=valid)
        create_secret(folder / "superexec.secret")
    typer.echo(f"SuperLink server {', '.join(names)}, {validity(read_certificate(certificate))}")
    typer.echo(f"in {to}: {', '.join(made)}; they never leave the coordinator's machine, ca.crt excepted")

"""``fedlora pki renew``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.pki.arguments import validity

__all__ = ["Which", "renew"]


class Which(StrEnum):
    """Whose certificate."""

    CA = "ca"
    SERVER = "server"


AFTERWARDS = {
    (Which.SERVER, False): "start the SuperLink anew: certificates are read once, at the start",
    (Which.SERVER, True): "start the SuperLink anew: certificates are read once, at the start",
    (Which.CA, False): "what the CA has signed stays good; give the new ca.crt to the sites before the old one expires",
    (
        Which.CA,
        True,
    ): "what the old CA has signed is refused by those with the new ca.crt: renew the server as well, give "
    "ca.crt to every site, then start all of them anew",
}


def renew(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The CA's folder; a server's pair is in it as well.", show_default=False),
    ],
    which: Annotated[Which, typer.Argument(help="Whose certificate.")] = Which.SERVER,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=36_500, help="How long it is valid; else as for a new one.", show_default=False),
    ] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make a new key as well.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Replace a certificate, expired or not, by a new one on the same key and names; the old pair is kept."""
    from fedlora.pki.reading import Role, read_pair
    from fedlora.pki.renewal import renew as replace
    from fedlora.pki.secret_files import private_directory

    role = Role.AUTHORITY if which is Which.CA else Role.SERVER
    old, _ = read_pair(directory, role)
    private_directory(directory)
    if not yes:
        typer.echo(f"{directory / role.stem}.crt is {validity(old)}; afterwards: {AFTERWARDS[which, new_key]}")
        typer.confirm(f"Renew the certificate{' and the key' if new_key else ''} of the {role}?", abort=True)
    new = replace(directory, role, days=days, new_key=new_key)
    typer.echo(f"{directory / role.stem}.crt is now {validity(new)}, on {'a new' if new_key else 'the same'} key")
    typer.echo(f"the pair before is kept with .previous; {AFTERWARDS[which, new_key]}")

"""``fedlora render compose``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.federation_file import DEFAULT_FILE, FileArgument, SetOption, read

__all__ = ["compose"]


def compose(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets a folder for each machine.", show_default=False)],
    file: FileArgument = DEFAULT_FILE,
    ca_certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The federation's ca.crt, for the sites' folders.", show_default=False),
    ] = None,
    settings: SetOption = [],  # noqa: B006 - Typer makes a new list
    force: Annotated[bool, typer.Option("--force", help="Replace files that somebody has edited.")] = False,
) -> None:
    """Render a Docker Compose folder for the coordinator and one for each site; README.md in each says what to do."""
    from fedlora.pki.reading import read_ca_certificate
    from fedlora.rendering import compose_files, write_rendering

    federation = read(file, settings).federation
    certificate = None
    if ca_certificate is not None:
        read_ca_certificate(ca_certificate)
        certificate = ca_certificate.read_bytes()
    changed = write_rendering(compose_files(federation, certificate), out, force=force)
    typer.echo(f"{out}: coordinator, {', '.join(f'site-{site.name}' for site in federation.site)}")
    typer.echo(f"{len(changed)} files written" if changed else "nothing has changed")

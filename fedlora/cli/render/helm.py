"""``fedlora render helm``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.federation_file import DEFAULT_FILE, FileArgument, SetOption, read

__all__ = ["helm"]


def helm(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets a values file for each party.", show_default=False)],
    ca_certificate: Annotated[
        Path, typer.Option(metavar="FILE", help="The federation's ca.crt, for the sites' values.", show_default=False)
    ],
    file: FileArgument = DEFAULT_FILE,
    model_block: Annotated[
        list[str],
        typer.Option(
            "--model-block",
            metavar="CIDR",
            help="Address block of the hub or mirror that sites may fetch the base model from; may be repeated.",
            show_default=False,
        ),
    ] = [],  # noqa: B006 - Typer makes a new list
    settings: SetOption = [],  # noqa: B006 - Typer makes a new list
    force: Annotated[bool, typer.Option("--force", help="Replace files that somebody has edited.")] = False,
) -> None:
    """Write the values of the Helm charts: a file for the coordinator, one for each site, one for the evaluator."""
    from fedlora.pki.reading import certificate_sha256, read_ca_certificate
    from fedlora.rendering import helm_files, left_over, write_rendering

    federation = read(file, settings).federation
    sha256 = certificate_sha256(read_ca_certificate(ca_certificate))
    files = helm_files(federation, ca_certificate.read_bytes(), tuple(model_block))
    changed = write_rendering(files, out, force=force)
    typer.echo(f"{out}: {', '.join(files)}")
    typer.echo(f"{len(changed)} files written" if changed else "nothing has changed")
    for name in left_over(files, out):
        typer.echo(f"warning: {out / name} is of no site of this file any more, and stays; remove it", err=True)
    typer.echo(f"read out to each site, by another way: the SHA-256 of ca.crt is {sha256}")

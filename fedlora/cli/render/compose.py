"""``fedlora render compose``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.federation_file import DEFAULT_FILE, FileArgument, SetOption, read

if TYPE_CHECKING:
    from fedlora.federation import Federation

__all__ = ["compose"]


def compose(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets a folder for each machine.", show_default=False)],
    file: FileArgument = DEFAULT_FILE,
    ca_certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The federation's ca.crt, for the sites' folders.", show_default=False),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the federation's CA, made if it is not there; the coordinator's secrets are made as well.",
            show_default=False,
        ),
    ] = None,
    with_model: Annotated[
        bool, typer.Option("--with-model", help="Put the base model into each site's folder as well.")
    ] = False,
    settings: SetOption = [],  # noqa: B006 - Typer makes a new list
    force: Annotated[bool, typer.Option("--force", help="Replace files that somebody has edited.")] = False,
) -> None:
    """Render a Docker Compose folder for the coordinator and one for each site; README.md in each says what to do."""
    from fedlora.pki.reading import certificate_sha256, read_ca_certificate
    from fedlora.rendering import compose_files, left_over, write_rendering

    if ca is not None and ca_certificate is not None:
        raise typer.BadParameter("--ca has the certificate as well; leave out --ca-certificate", param_hint="--ca")
    federation = read(file, settings).federation
    if ca is not None:
        ca_certificate = _authority(ca, federation)
    certificate = None
    if ca_certificate is not None:
        sha256 = certificate_sha256(read_ca_certificate(ca_certificate))
        certificate = ca_certificate.read_bytes()
    files = compose_files(federation, certificate)
    changed = write_rendering(files, out, force=force)
    typer.echo(f"{out}: coordinator, {', '.join(f'site-{site.name}' for site in federation.site)}")
    typer.echo(f"{len(changed)} files written" if changed else "nothing has changed")
    for name in left_over(files, out):
        typer.echo(f"warning: {out / name} is of no site of this file any more, and stays; remove it", err=True)
    if with_model:
        _bring_model(federation, out)
    if ca is not None:
        _secrets(ca, federation, out / "coordinator" / "secrets")
    if certificate is not None:
        typer.echo(f"read out to each site, by another way: the SHA-256 of ca.crt is {sha256}")


def _authority(directory: Path, federation: "Federation") -> Path:
    """Make the CA if there is none; return its certificate."""
    from fedlora.pki.certificates import create_authority
    from fedlora.pki.secret_files import new_private_directory

    certificate = directory / "ca.crt"
    if not certificate.exists():
        with new_private_directory(directory) as folder:
            made = create_authority(folder, federation=federation.name)
        typer.echo(f"CA of {federation.name} made in {directory}; {made.key_file} never leaves this machine")
    return certificate


def _secrets(authority: Path, federation: "Federation", directory: Path) -> None:
    """Make what the coordinator's containers need, unless it is there."""
    import os
    import shutil

    from fedlora.pki.certificates import issue_coordinator_credentials
    from fedlora.pki.reading import load_authority
    from fedlora.pki.renewal import server_days
    from fedlora.pki.secret_files import new_private_directory
    from fedlora.rendering import USER_ID

    if os.path.lexists(directory):
        typer.echo(f"{directory} stays as it is")
        return
    signer = load_authority(authority)
    with new_private_directory(directory) as folder:
        made = issue_coordinator_credentials(
            signer, folder, names=federation.superlink_names, days=server_days(signer, None)
        )
        if os.geteuid() == 0:
            for one in (folder, *made.values()):
                shutil.chown(one, USER_ID, USER_ID)
    typer.echo(f"the coordinator's keys and certificates made in {directory}")
    if os.geteuid() != 0:
        typer.echo(f"its containers read them once you call: sudo chown -R {USER_ID}:{USER_ID} {directory}")


def _bring_model(federation: "Federation", out: Path) -> None:
    """Put the base model into each site's folder; what stands there is held to its own hash."""
    from fedlora.cli.model.arguments import standing
    from fedlora.language_model import obtain
    from fedlora.language_model.importing import announced, import_model

    source = obtain(federation.base_model).directory
    claim = announced(source)
    for site in federation.site:
        directory = out / f"site-{site.name}" / "model"
        if standing(directory, claim.sha256) is None:
            import_model(source, directory, claim, name=claim.name, sha256=federation.base_model_sha256)
    typer.echo(f"base model {claim.name} in the folder `model` of each site, SHA-256 {claim.sha256}")

"""``fedlora config validate``."""

import typer

from fedlora.cli.federation_file import DEFAULT_FILE, FileArgument, SetOption, read

__all__ = ["validate"]


def validate(file: FileArgument = DEFAULT_FILE, settings: SetOption = []) -> None:  # noqa: B006 - Typer makes a new list
    """Check a federation's file; everything that is wrong is said at once. Needs neither network nor GPU."""
    federation = read(file, settings).federation
    sites = ", ".join(site.name for site in federation.participants)
    typer.echo(
        f"{file}: federation {federation.name}, {len(federation.site)} site(s); "
        f"runs train {federation.run_recipe.name} at {sites}"
    )

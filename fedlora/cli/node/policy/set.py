"""``fedlora node policy set``."""

from typing import Annotated

import typer

from fedlora.cli.node.site import SiteArgument, site_of

__all__ = ["set_policy"]


def set_policy(
    site: SiteArgument,
    changes: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE...", help="What to change; values of lists with commas between.", show_default=False
        ),
    ],
) -> None:
    """Change a site's policy in its files; the trainer obeys it from its next start on.

    Keys are those of [site.policy] in docs/federation-file.md, and fab-hashes: apps that the guard admits besides the
    kit's own. All of it is checked before anything is written. Recipes can be chosen among those that the trainer's
    file has.
    """
    from fedlora.errors import ConfigurationError
    from supernode.site_policy import SitePolicyFiles

    pairs = [change.partition("=") for change in changes]
    if wrong := [key for key, sign, _ in pairs if not sign]:
        raise ConfigurationError(f"{wrong[0]!r} is not KEY=VALUE, as in most-updates=200")
    files = SitePolicyFiles(site_of(site).parent)
    before, after = files.change({key.strip(): value.strip() for key, _, value in pairs})
    typer.echo(f"policy {before[:12]} is now {after[:12]}")
    if files.rendered:
        typer.echo("to have it obeyed: docker compose restart trainer supernode, in the site's folder")
    else:
        typer.echo("to have it obeyed, start trainer and supernode anew")
        typer.echo("fedlora up writes these files from federation.toml: change the site's policy there as well")

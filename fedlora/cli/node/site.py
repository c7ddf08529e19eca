"""A site by its folder, for the commands that its owner types."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from supernode.settings import NodeSettings

__all__ = ["ReasonOption", "SiteArgument", "settings_of", "site_of"]

SiteArgument = Annotated[
    Path,
    typer.Argument(metavar="SITE", help="The site's folder, or the supernode.toml in it.", show_default=False),
]
ReasonOption = Annotated[str, typer.Option(metavar="TEXT", help="Why; the coordinator reads it.", show_default=False)]


def site_of(site: Path) -> Path:
    """Return the site's ``supernode.toml``."""
    return site / "supernode.toml" if site.is_dir() else site


def settings_of(site: Path) -> "NodeSettings":
    """Read the supernode's settings.

    Raises
    ------
    ConfigurationError
        If they cannot be read, or are wrong.
    """
    from fedlora.config import read_toml
    from supernode.settings import NodeSettings

    return read_toml(NodeSettings, site_of(site))

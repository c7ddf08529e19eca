"""``fedlora leaderboard build``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.leaderboard.arguments import EntriesArgument

__all__ = ["build"]


def build(
    entries: EntriesArgument,
    out: Annotated[Path, typer.Option("--out", metavar="SITE", help="The folder to make; an older site is replaced.")],
) -> None:
    """Check every entry, and write the leaderboard as a static site: no server, no requests, also from a file."""
    from evaluator.leaderboard.site import build as write
    from evaluator.leaderboard.standings import open_entries

    opened = open_entries(entries)
    pages = write(opened, out)
    typer.echo(
        f"{len(opened)} {'entry' if len(opened) == 1 else 'entries'} on {len(pages)} pages; open {out / 'index.html'}"
    )

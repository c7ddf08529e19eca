"""Arguments that the commands of the leaderboard share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["EntriesArgument", "EntryArgument"]

EntryArgument = Annotated[Path, typer.Argument(metavar="ENTRY", help="Folder of an entry.", show_default=False)]
EntriesArgument = Annotated[
    list[Path], typer.Argument(metavar="ENTRIES...", help="Entries, or folders of entries.", show_default=False)
]

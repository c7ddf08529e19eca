"""Arguments that the commands on adapters share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AdapterArgument", "EachOption", "ToOption"]

AdapterArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of an adapter, or a run's checkpoint.", show_default=False)
]
EachOption = Annotated[bool, typer.Option("--each", help="A line for each module, not for each kind of module.")]
ToOption = Annotated[Path, typer.Option("--to", help="The folder to make.", show_default=False)]

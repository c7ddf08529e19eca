"""Options that the commands on bundles share."""

from typing import Annotated

import typer

__all__ = ["PrefixOption", "TagOption", "VariantOption"]

PrefixOption = Annotated[
    str, typer.Option("--images", metavar="PREFIX", help="What stands before the role in an image's name.")
]
TagOption = Annotated[str, typer.Option("--tag", help="Tag of the images.", show_default="the kit's version")]
VariantOption = Annotated[
    str, typer.Option("--variant", help="Ends the tag of trainer and evaluator, as -cuda does.", show_default=False)
]

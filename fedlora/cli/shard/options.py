"""Arguments and options that several commands of this group share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ADVICE",
    "ForceOption",
    "HeldOutOption",
    "KeepDuplicatesOption",
    "LicenceOption",
    "ShardArgument",
    "SkipBadOption",
    "SourceArgument",
    "WordsOption",
]

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A data file (.jsonl, .json, .csv, .parquet; .gz as well), a shard, or hub:OWNER/NAME[:SPLIT].",
        show_default=False,
    ),
]
ShardArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The shard folder.", show_default=False)]
LicenceOption = Annotated[
    str, typer.Option(help='Of the data: an SPDX expression, "proprietary", or other words.', show_default=False)
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace shards that stand in the folder already.")]
SkipBadOption = Annotated[
    bool,
    typer.Option("--skip-bad", help="Leave out rows that are no records, and count them; else the first is named."),
]
KeepDuplicatesOption = Annotated[
    bool, typer.Option("--keep-duplicates", help="Keep rows that repeat question and answer of an earlier one.")
]
HeldOutOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="An evaluation set (.jsonl, .json, .csv, .txt, .parquet; .gz as well) to look for in the records; "
        "may be given several times.",
        show_default=False,
    ),
]
WordsOption = Annotated[
    int, typer.Option(min=5, max=100, help="How many words in a row must stand in an evaluation set, too.")
]
ADVICE = "name another folder, move it away, or replace a shard with --force"

"""``fedlora leaderboard verify``."""

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlora.cli.benchmark.arguments import SetOption, evaluation_sets, live_progress
from fedlora.cli.leaderboard.arguments import EntryArgument
from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from evaluator.leaderboard.verification import Verification

__all__ = ["verify"]


def verify(
    entry: EntryArgument,
    key: Annotated[
        Path | None,
        typer.Option(metavar="PUBLIC", help="The submitter.pub that must have signed it.", show_default=False),
    ] = None,
    sets: SetOption = [],  # noqa: B006 - Typer makes a new list
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Let the models answer again, with the items that --set names.")
    ] = False,
    base_model: Annotated[
        str,
        typer.Option(metavar="MODEL", help="For --rerun: the base model; else by the name that the entry has."),
    ] = "",
    output: FormatOption = Format.TABLE,
) -> None:
    """Check an entry: its signature, every file, every score from its answers; names what is wrong, exits with 71.

    With --set, each answer is also judged again from what the model wrote; programs are run again.
    """
    from evaluator.again import Again
    from evaluator.leaderboard.signing import read_public
    from evaluator.leaderboard.verification import verify as check
    from fedlora.errors import EntryError
    from fedlora.log import printable

    with tempfile.TemporaryDirectory(prefix="fedlora-") as work:
        again = Again(evaluation_sets(sets), Path(work), live_progress(), os.cpu_count() or 1, base_model)
        public = read_public(key) if key else ""
        found = check(entry, public, judge=again.judge if sets else None, rerun=again.rerun if rerun else None)
    if output is Format.JSON:
        typer.echo(json.dumps(_document(found), indent=2))
    else:
        for line in _lines(found):
            typer.echo(printable(line))
    if found.problems:
        raise EntryError(f"{entry} does not hold: {len(found.problems)} problem(s)")


def _document(found: "Verification") -> dict[str, Any]:
    from evaluator.leaderboard.rules import rulings

    one = found.manifest
    return {
        "entry": str(found.folder),
        "id": found.id or None,
        "holds": not found.problems,
        "problems": [{"file": problem.file, "problem": problem.text} for problem in found.problems],
        "key_sha256": found.key_sha256 or None,
        "vouched": found.vouched,
        "title": one.title if one else None,
        "submitter": one.submitter if one else None,
        "files": found.files,
        "answers": found.answers,
        "rules": [vars(ruling) for ruling in rulings(one)] if one else [],
    }


def _lines(found: "Verification") -> list[str]:
    from evaluator.leaderboard.rules import rulings

    lines = []
    if found.manifest is not None:
        one = found.manifest
        whose = (
            "the one that was asked for" if found.vouched else "named by the entry itself: compare it, or give --key"
        )
        scores = sum(len(scores) for scores in one.scores.values())
        lines = [
            f"entry      {found.id}: {one.title}, by {one.submitter}",
            f"key        {found.key_sha256}, {whose}",
            f"checked    {found.files} files, {found.answers} answers, {scores} scores",
            *(f"rule       {one.rule}: {one.outcome}; here {one.found}, allowed {one.allowed}" for one in rulings(one)),
        ]
    lines += [f"problem    {problem}" for problem in found.problems]
    return lines if found.problems else [*lines, "it holds"]

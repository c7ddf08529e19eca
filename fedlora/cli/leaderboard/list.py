"""``fedlora leaderboard list``."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import typer

from fedlora.cli.leaderboard.arguments import EntriesArgument
from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from evaluator.leaderboard.standings import Entry

__all__ = ["list_entries"]


def list_entries(entries: EntriesArgument, output: FormatOption = Format.TABLE) -> None:
    """Check every entry, and list them with their scores by domain and scoring, and what they cost."""
    from evaluator.leaderboard.standings import open_entries
    from fedlora.cli.amounts import number
    from fedlora.log import printable

    facts = [_facts(entry) for entry in open_entries(entries)]
    if output is Format.JSON:
        typer.echo(json.dumps(facts, indent=2))
        return
    row = "{:<13}{:<31}{:<12}{:<12}{:>8}{:>8}{:>8}{:>12}  {}"
    typer.echo(row.format("entry", "title", "domain", "scoring", "score", "base", "n", "MiB", "breaches"))
    for one in facts:
        for score in one["scores"] or [{}]:
            points = [number(value and 100 * value["value"], 2) for value in (score.get("adapted"), score.get("base"))]
            typer.echo(
                printable(
                    row.format(
                        one["id"],
                        one["title"][:30],
                        score.get("domain", "-"),
                        score.get("scoring", "-"),
                        *points,
                        score["adapted"]["n"] if score else "-",
                        number(one["mib"], 1),
                        one["breaches"],
                    )
                )
            )


def _facts(entry: "Entry") -> dict[str, Any]:
    from evaluator.leaderboard.columns import BOARDS, SCORINGS, mean

    one = entry.manifest
    scores = []
    for scoring in SCORINGS:
        for board in BOARDS.values():
            ours, base = (mean(entry.shares(board, scoring, model)) for model in ("adapted", "base"))
            if ours and base:
                pair = {"adapted": dataclasses.asdict(ours), "base": dataclasses.asdict(base)}
                scores.append({"domain": board.domain, "scoring": scoring, **pair})
    return {
        "id": entry.id,
        "title": one.title,
        "submitter": one.submitter,
        "created": one.created,
        "key_sha256": entry.key_sha256,
        "domain": one.domain,
        "base_model": one.base.base_model,
        "mib": entry.mib,
        "memory_mib": entry.memory[0] if entry.memory else None,
        "breaches": entry.broken,
        "rules": [vars(ruling) for ruling in entry.rulings],
        "scores": scores,
    }

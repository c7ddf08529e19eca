"""What was done to the records of a shard, for people."""

from collections.abc import Iterable
from dataclasses import asdict

from fedlora.shards.preparation import Division, LeftOut, Overlap, Preparation

__all__ = ["division_line", "findings", "leak_lines"]

REASONS = {
    "empty": "empty",
    "missing": "without a field",
    "no_text": "with a field that is no text",
    "label": "with an unknown label",
    "no_id": "without the id",
    "duplicate": "repeated",
    "leak": "in evaluation sets",
}


def findings(step: Preparation) -> list[str]:
    """Return a line for each thing that was found in the rows; nothing where they became records as they were."""
    lines = []
    if step.left_out.total:
        lines.append(f"left out {step.left_out.total} of {step.rows} rows: {_reasons(step.left_out)}")
    if kept := step.duplicates - step.left_out.duplicate:
        lines.append(f"{kept} record(s) repeat an earlier one")
    if step.contradictions:
        lines.append(f"{step.contradictions} record(s) answer a question differently than an earlier one")
    return lines + leak_lines(step.held_out)


def leak_lines(overlaps: Iterable[Overlap]) -> list[str]:
    """Return a line for each evaluation set: how many records stand in it."""
    return [
        f"{one.file}, {one.items} items: {one.exact} record(s) ask what is in it, {one.partial} more share {one.words} "
        "words or a whole text with it"
        for one in overlaps
    ]


def division_line(division: Division) -> str:
    """Say how records were divided."""
    rule = {"alpha": division.alpha, "labels": division.labels, "id": division.id_field}
    more = "".join(f", {key} {value}" for key, value in rule.items() if value is not None)
    return f"part {division.part} of {division.parts}, by {division.by}{more}, seed {division.seed}"


def _reasons(left_out: LeftOut) -> str:
    return ", ".join(f"{count} {REASONS[reason]}" for reason, count in asdict(left_out).items() if count)

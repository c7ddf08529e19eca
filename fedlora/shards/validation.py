"""Holding a shard's data to its manifest: everything that is wrong, at once."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict

from fedlora.errors import ShardError
from fedlora.shards.manifest import FIELDS, Lengths, answer_length, prompt_length
from fedlora.shards.records import Record, decode, json_row, to_record
from fedlora.shards.shard import Shard

__all__ = ["validate"]

MOST_PROBLEMS = 50  # of single lines; the rest is counted


def validate(shard: Shard) -> None:
    """Check the data of `shard` line by line, then hash, size, count and lengths against the manifest.

    Raises
    ------
    ShardError
        With every problem, each by file and line, or by the manifest's field.
    """
    content = shard.content()
    records, problems = _read(content, shard)
    if len(problems) > MOST_PROBLEMS:
        problems = [*problems[:MOST_PROBLEMS], f"{shard.data}: and {len(problems) - MOST_PROBLEMS} more such lines"]
    problems += _differences(content, records, shard)
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise ShardError(f"{shard.directory} has {len(problems)} problem(s):\n{listed}")


def _read(content: bytes, shard: Shard) -> tuple[list[Record], list[str]]:
    """Return the records of all good lines, and what is wrong with the others."""
    try:
        text = decode(content, shard.data)
    except ShardError as error:
        return [], [str(error)]
    records, problems = [], []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        try:
            records.append(_record(line, f"{shard.data}, line {number}", shard))
        except ShardError as error:
            problems.append(str(error))
    return records, problems


def _record(line: str, place: str, shard: Shard) -> Record:
    row = json_row(line, place)
    if set(row) != set(FIELDS):
        found = ", ".join(row) or "none"
        raise ShardError(f"{place}: the fields are {found}; the manifest's schema is {', '.join(FIELDS)}")
    return to_record(row, place, shard.domain)


def _differences(content: bytes, records: Sequence[Record], shard: Shard) -> list[str]:
    """Return where the data differ from what the manifest says."""
    said, found = shard.manifest, hashlib.sha256(content).hexdigest()
    pairs: list[tuple[str, object, object]] = [
        ("SHA-256", found, said.sha256),
        ("size in bytes", len(content), said.bytes),
        ("number of good records", len(records), said.records),
    ]
    if records:
        prompts = Lengths.of([prompt_length(record) for record in records])
        answers = Lengths.of([answer_length(record) for record in records])
        for what, here, there in (
            ("prompts", prompts, said.prompt_characters),
            ("answers", answers, said.answer_characters),
        ):
            pairs += [
                (f"{name} of the {what} in characters", figure, getattr(there, name))
                for name, figure in asdict(here).items()
            ]
    return [f"{shard.data}: {what} is {here}, expected {there}" for what, here, there in pairs if here != there]

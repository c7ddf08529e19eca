"""Holding a shard's data to its manifest: everything that is wrong, at once."""

from collections.abc import Iterator
from dataclasses import asdict

from fedlora.errors import ShardError
from fedlora.shards.leaks import LeakCheck
from fedlora.shards.manifest import FIELDS, LengthCounts, Lengths
from fedlora.shards.records import Record, to_record
from fedlora.shards.rows import MOST_AT_ONCE, decode, json_row
from fedlora.shards.shard import HashedFile, Shard

__all__ = ["validate"]

MOST_PROBLEMS = 50  # of single lines; the rest is counted


def validate(shard: Shard, leaks: LeakCheck | None = None) -> None:
    """Check the data of `shard` line by line, then hash, size, count and lengths against the manifest.

    Parameters
    ----------
    shard : Shard
        What to check.
    leaks : LeakCheck, optional
        Compares each good record with evaluation sets on the way.

    Raises
    ------
    ShardError
        With every problem, each by file and line, or by the manifest's field.
    """
    lengths, problems, more = LengthCounts(), list[str](), 0
    with HashedFile(shard.data) as file:
        for found in _lines(file, shard):
            if isinstance(found, Record):
                lengths.add(found)
                if leaks:
                    leaks.add(found)
            elif len(problems) < MOST_PROBLEMS:
                problems.append(found)
            else:
                more += 1
        if more:
            problems.append(f"{shard.data}: and {more} more such lines")
        problems += _differences(file, lengths, shard)
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise ShardError(f"{shard.directory} has {len(problems)} problem(s):\n{listed}")


def _lines(file: HashedFile, shard: Shard) -> Iterator[Record | str]:
    """Yield the records of all good lines, and what is wrong with the others."""
    number = 0
    while line := file.readline(MOST_AT_ONCE + 1):
        number += 1
        try:
            yield _record(decode(line, number, shard.data), f"{shard.data}, line {number}", shard)
        except ShardError as error:
            yield str(error)


def _record(line: str, place: str, shard: Shard) -> Record:
    row = json_row(line.removesuffix("\n"), place)
    if set(row) != set(FIELDS):
        found = ", ".join(row) or "none"
        raise ShardError(f"{place}: the fields are {found}; the manifest's schema is {', '.join(FIELDS)}")
    return to_record(row, place, shard.domain)


def _differences(file: HashedFile, lengths: LengthCounts, shard: Shard) -> list[str]:
    """Return where the data differ from what the manifest says."""
    said = shard.manifest
    pairs: list[tuple[str, object, object]] = [
        ("SHA-256", file.finish(), said.sha256),
        ("size in bytes", file.bytes, said.bytes),
        ("number of good records", lengths.answers.total(), said.records),
    ]
    if lengths.answers:
        for what, here, there in (
            ("prompts", Lengths.of(lengths.prompts), said.prompt_characters),
            ("answers", Lengths.of(lengths.answers), said.answer_characters),
        ):
            pairs += [
                (f"{name} of the {what} in characters", figure, getattr(there, name))
                for name, figure in asdict(here).items()
            ]
    return [f"{shard.data}: {what} is {here}, expected {there}" for what, here, there in pairs if here != there]

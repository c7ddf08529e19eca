"""Dividing records that are in memory: among sites, and into what is trained and what is held out."""

import random
from collections.abc import Sequence

from fedlora.errors import ShardError
from fedlora.shards.division import numbers_of, partition_evenly
from fedlora.shards.records import Record

__all__ = ["hold_out", "partition"]


def partition(records: Sequence[Record], parts: int, *, seed: int) -> list[list[Record]]:
    """Divide `records` into `parts` as `partition_evenly` does."""
    numbers = numbers_of(partition_evenly(len(records), parts, seed=seed), parts)
    return [[records[number] for number in part] for part in numbers]


def hold_out(records: Sequence[Record], *, fraction: float, most: int, seed: int) -> tuple[list[Record], list[Record]]:
    """Divide `records` into a training part and a held-out part.

    Records with the same instruction and input stay on one side, so that no held-out question was trained on.

    Returns
    -------
    tuple of list
        Training records and held-out records; of these `fraction` of all and at most `most`, or a little fewer so that
        questions stay whole. Where no question is that rare, the rarest one is held out.

    Raises
    ------
    ShardError
        If either part would be empty.
    """
    questions: dict[tuple[str, str], list[int]] = {}
    for index, record in enumerate(records):
        questions.setdefault((record.instruction, record.input), []).append(index)
    groups = list(questions.values())
    random.Random(seed).shuffle(groups)  # noqa: S311 - a reproducible division, not a secret
    wanted = min(most, max(1, round(fraction * len(records))))
    held: set[int] = set()
    for group in groups:
        if len(held) + len(group) <= wanted:
            held.update(group)
    if not held and wanted and groups:
        rarest = min(groups, key=len)
        held.update(rarest)
    if not held or len(held) == len(records):
        raise ShardError(f"{len(records)} record(s) are too few to train on some and hold out others")
    train = [record for index, record in enumerate(records) if index not in held]
    return train, [records[index] for index in sorted(held)]

"""Dividing records among shards: by chance, by an id that they bear, or by their labels.

A rule needs numbers, labels or ids, not the records themselves, and returns for each record the number of the part that
owns it, 2 bytes each; so a shard of any size can be divided. (flwr-datasets has partitioners of the same names; they
divide tables of the library `datasets`, which the kit needs for nothing else, and these few lines divide any file.)
"""

import heapq
import random
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from fedlora.errors import ShardError

__all__ = [
    "MOST_LABELS",
    "Owners",
    "check_labels",
    "check_parts",
    "numbers_of",
    "partition_by_id",
    "partition_evenly",
    "partition_into_few_labels",
    "shuffled",
]

MOST_LABELS = 50  # more different answers than this are free text, not labels
Owners: TypeAlias = "array[int]"  # for each record, the number of its part


def partition_evenly(count: int, parts: int, *, seed: int) -> Owners:
    """Divide `count` records into independent, identically distributed parts whose sizes differ by at most one.

    Raises
    ------
    ShardError
        If a part would be empty.
    """
    check_parts(count, parts)
    owners = array("H", bytes(2 * count))
    for turn, record in enumerate(shuffled(range(count), random.Random(seed))):  # noqa: S311 - to be repeated, no secret
        owners[record] = turn % parts
    return owners


def partition_by_id(ids: Sequence[int], parts: int, *, seed: int) -> Owners:
    """Divide records so that all of the same id stay together, in parts as equal in size as that allows.

    The ids take turns, the most frequent first, and each goes to the part that is smallest by then; the seed decides
    between ids that are as frequent.

    Parameters
    ----------
    ids : sequence of int
        Of each record.

    Raises
    ------
    ShardError
        If there are fewer ids than parts.
    """
    counts = Counter(ids)
    if len(counts) < parts:
        raise ShardError(f"{len(counts)} different id(s) cannot be divided into {parts} parts")
    order = list(counts)
    random.Random(seed).shuffle(order)  # noqa: S311 - as above
    order.sort(key=counts.__getitem__, reverse=True)
    smallest = [(0, part) for part in range(parts)]
    owner = {}
    for one in order:
        size, owner[one] = smallest[0]
        heapq.heapreplace(smallest, (size + counts[one], owner[one]))
    return array("H", map(owner.__getitem__, ids))


def partition_into_few_labels(labels: Sequence[int], parts: int, *, each: int, seed: int) -> Owners:
    """Divide records so that each part holds `each` of the labels and no other.

    As in McMahan et al. 2017 (arXiv 1602.05629), where each client has two digits. Each part in turn takes labels that
    fewest others have taken; the records of a label are divided evenly, by chance, among the parts that hold it. (There
    the sorted records are cut into pieces that are dealt out, and a piece may lie across two labels.)

    Parameters
    ----------
    labels : sequence of int
        Of each record.

    Raises
    ------
    ShardError
        If these are no labels, they are fewer than `each`, parts cannot hold them all, or a label has too few records.
    """
    counts = Counter(labels)
    check_parts(len(labels), parts)
    check_labels(len(counts))
    if not -(-len(counts) // parts) <= each <= len(counts):
        raise ShardError(
            f"{each} label(s) in each of {parts} parts cannot hold all of {len(counts)}; allowed: "
            f"{-(-len(counts) // parts)} to {len(counts)}"
        )
    generator = random.Random(seed)  # noqa: S311 - as above
    holders: dict[int, list[int]] = {label: [] for label in sorted(counts)}
    for part in range(parts):
        drawn = sorted(holders, key=lambda label: (len(holders[label]), generator.random()))
        for label in drawn[:each]:
            holders[label].append(part)
    owners = array("H", bytes(2 * len(labels)))
    for label, held_by in holders.items():
        if counts[label] < len(held_by):
            raise ShardError(
                f"a label of {counts[label]} record(s) cannot be divided among {len(held_by)} parts; make fewer parts, "
                "or give each fewer labels"
            )
        own = (record for record, other in enumerate(labels) if other == label)
        for turn, record in enumerate(shuffled(own, generator)):
            owners[record] = held_by[turn % len(held_by)]
    return owners


def check_parts(count: int, parts: int) -> None:
    """Check that no part is empty.

    Raises
    ------
    ShardError
        If there are fewer records than parts.
    """
    if count < parts:
        raise ShardError(f"{count} record(s) cannot be divided into {parts} parts")


def check_labels(different: int) -> None:
    """Check that so many different answers are labels.

    Raises
    ------
    ShardError
        If they are fewer than 2, or more than ``MOST_LABELS``.
    """
    if not 2 <= different <= MOST_LABELS:
        found = different if different <= MOST_LABELS else f"more than {MOST_LABELS}"
        raise ShardError(
            f"{found} different answer(s) are no labels to divide by; allowed: 2 to {MOST_LABELS}; "
            "divide free text by iid, size-skew or natural-id"
        )


def shuffled(numbers: Iterable[int], generator: random.Random) -> "array[int]":
    """Return `numbers` in an order that `generator` decides, 8 bytes each."""
    order = array("Q", numbers)
    generator.shuffle(order)
    return order


def numbers_of(owners: Owners, parts: int) -> "list[array[int]]":
    """Return the numbers of the records of each part, in rising order, 8 bytes each."""
    numbers = [array("Q") for _ in range(parts)]
    for record, owner in enumerate(owners):
        numbers[owner].append(record)
    return numbers

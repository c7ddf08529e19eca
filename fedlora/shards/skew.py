"""Dividing records unevenly, as real sites hold them: in their answers, or in how many they have.

Both kinds of skew follow a symmetric Dirichlet distribution, whose one number `alpha` says how even the parts are: far
above 1 nearly even, far below 1 nearly one-sided.
"""

import random
from collections import Counter
from collections.abc import Sequence

from fedlora.errors import ShardError
from fedlora.shards.records import Record

__all__ = ["MOST_LABELS", "partition_by_label", "partition_by_size"]

MOST_LABELS = 50  # more different answers than this are free text, not labels


def partition_by_label(records: Sequence[Record], parts: int, *, alpha: float, seed: int) -> list[list[Record]]:
    """Divide `records` into parts of equal size, within one record, whose mixtures of answers differ.

    As in Hsu et al. 2019 (arXiv 1909.06335): each part draws its mixture of labels from a Dirichlet distribution with
    mean as in all records and concentration `alpha`, then its records by that mixture, none twice. Parts take turns,
    so that a label that runs out does so for all of them; what is left is taken by who still needs records.

    Raises
    ------
    ShardError
        If a part would be empty, or the answers are not labels: 2 to ``MOST_LABELS`` different ones.
    """
    _check(records, parts, alpha)
    counts = Counter(record.output for record in records)
    if not 2 <= len(counts) <= MOST_LABELS:
        raise ShardError(
            f"{len(counts)} different answer(s) are no labels to divide by; allowed: 2 to {MOST_LABELS}; "
            "divide free text by iid or size-skew"
        )
    generator = random.Random(seed)  # noqa: S311 - a reproducible division, not a secret
    waiting = {label: _shuffled(records, label, generator) for label in sorted(counts)}
    shares = [count / len(records) for _, count in sorted(counts.items())]
    mixtures = [_dirichlet([alpha * share for share in shares], generator) for _ in range(parts)]
    chosen: list[list[int]] = [[] for _ in range(parts)]
    for turn in range(len(records)):
        left = list(waiting)
        weights = [share if waiting[label] else 0.0 for label, share in zip(left, mixtures[turn % parts], strict=True)]
        if not sum(weights):  # nothing is left of what this part would have
            weights = [float(len(waiting[label])) for label in left]
        chosen[turn % parts].append(waiting[generator.choices(left, weights)[0]].pop())
    return [[records[index] for index in sorted(part)] for part in chosen]


def partition_by_size(records: Sequence[Record], parts: int, *, alpha: float, seed: int) -> list[list[Record]]:
    """Divide `records` into parts of different sizes and alike otherwise; the sizes follow a Dirichlet distribution.

    Raises
    ------
    ShardError
        If a part would be empty.
    """
    _check(records, parts, alpha)
    generator = random.Random(seed)  # noqa: S311 - as above
    order = list(range(len(records)))
    generator.shuffle(order)
    sizes = _sizes(len(records) - parts, _dirichlet([alpha] * parts, generator))
    divided, first = [], 0
    for size in sizes:
        last = first + size + 1  # each part has one record beforehand
        divided.append([records[index] for index in sorted(order[first:last])])
        first = last
    return divided


def _check(records: Sequence[Record], parts: int, alpha: float) -> None:
    if len(records) < parts:
        raise ShardError(f"{len(records)} record(s) cannot be divided into {parts} parts")
    if not 1e-3 <= alpha <= 1e6:
        raise ShardError(f"alpha is {alpha}; allowed: 0.001 (one-sided) to 1000000 (even)")


def _shuffled(records: Sequence[Record], label: str, generator: random.Random) -> list[int]:
    rows = [index for index, record in enumerate(records) if record.output == label]
    generator.shuffle(rows)
    return rows


def _dirichlet(concentrations: Sequence[float], generator: random.Random) -> list[float]:
    """Draw shares that add up to 1: gamma variates over their sum."""
    drawn = [generator.gammavariate(concentration, 1.0) for concentration in concentrations]
    total = sum(drawn)
    if not total:  # all underflowed, as happens below 0.01: the distribution is then all but one-sided
        winner = generator.choices(range(len(drawn)), concentrations)[0]
        return [float(index == winner) for index in range(len(drawn))]
    return [value / total for value in drawn]


def _sizes(count: int, shares: Sequence[float]) -> list[int]:
    """Divide `count` by `shares`, in whole numbers: the largest remainders get one more."""
    exact = [count * share for share in shares]
    sizes = [int(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda part: exact[part] - sizes[part], reverse=True)
    for part in by_remainder[: count - sum(sizes)]:
        sizes[part] += 1
    return sizes

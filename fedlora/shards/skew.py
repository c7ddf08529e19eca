"""Dividing records unevenly, as real sites hold them: in their answers, or in how many they have.

Both kinds of skew follow a symmetric Dirichlet distribution, whose one number `alpha` says how even the parts are: far
above 1 nearly even, far below 1 nearly one-sided.
"""

import random
from array import array
from collections import Counter
from collections.abc import Sequence

from fedlora.errors import ShardError
from fedlora.shards.division import Owners, check_labels, check_parts, shuffled

__all__ = ["check_alpha", "partition_by_label", "partition_by_size"]


def partition_by_label(labels: Sequence[int], parts: int, *, alpha: float, seed: int) -> Owners:
    """Divide records into parts of equal size, within one record, whose mixtures of labels differ.

    As in Hsu et al. 2019 (arXiv 1909.06335): each part draws its mixture of labels from a Dirichlet distribution with
    mean as in all records and concentration `alpha`, then its records by that mixture, none twice. Parts take turns,
    so that a label that runs out does so for all of them; what is left is taken by who still needs records.

    Parameters
    ----------
    labels : sequence of int
        Of each record.

    Raises
    ------
    ShardError
        If a part would be empty, or these are no labels: see `check_labels`.
    """
    check_alpha(alpha)
    check_parts(len(labels), parts)
    counts = Counter(labels)
    check_labels(len(counts))
    generator = random.Random(seed)  # noqa: S311 - a reproducible division, not a secret
    waiting = {
        label: shuffled((record for record, other in enumerate(labels) if other == label), generator)
        for label in sorted(counts)
    }
    shares = [count / len(labels) for _, count in sorted(counts.items())]
    mixtures = [_dirichlet([alpha * share for share in shares], generator) for _ in range(parts)]
    owners = array("H", bytes(2 * len(labels)))
    for turn in range(len(labels)):
        left = list(waiting)
        weights = [share if waiting[label] else 0.0 for label, share in zip(left, mixtures[turn % parts], strict=True)]
        if not sum(weights):  # nothing is left of what this part would have
            weights = [float(len(waiting[label])) for label in left]
        owners[waiting[generator.choices(left, weights)[0]].pop()] = turn % parts
    return owners


def partition_by_size(count: int, parts: int, *, alpha: float, seed: int) -> Owners:
    """Divide `count` records into parts of different sizes and alike otherwise; the sizes follow that distribution.

    Raises
    ------
    ShardError
        If a part would be empty.
    """
    check_alpha(alpha)
    check_parts(count, parts)
    generator = random.Random(seed)  # noqa: S311 - as above
    order = shuffled(range(count), generator)
    owners = array("H", bytes(2 * count))
    first = 0
    for part, size in enumerate(_sizes(count - parts, _dirichlet([alpha] * parts, generator))):
        last = first + size + 1  # each part has one record beforehand
        for record in order[first:last]:
            owners[record] = part
        first = last
    return owners


def check_alpha(alpha: float) -> None:
    """Check a concentration.

    Raises
    ------
    ShardError
        If it is so far from 1 that what is drawn is no number any more.
    """
    if not 1e-3 <= alpha <= 1e6:
        raise ShardError(f"alpha is {alpha}; allowed: 0.001 (one-sided) to 1000000 (even)")


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

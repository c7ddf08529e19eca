"""Scores of a task, made of its answers and of nothing else."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from evaluator.results.answer import Answer
from fedlora.errors import EvaluationError

__all__ = ["Share", "TaskScore", "mcnemar", "pass_at", "score", "share", "sign_test"]

Z = 1.959963984540054  # of a 95 % interval


@dataclass(frozen=True)
class Share:
    """A share of items with its 95 % interval.

    Attributes
    ----------
    n : int
        Items.
    value : float
        From 0 to 1.
    low, high : float
        Interval by Wilson (1927), equation for the score interval; of a mean over samples, by the normal approximation
        over items.
    """

    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class TaskScore:
    """What a model reached in one task by one scoring.

    Attributes
    ----------
    task, scoring : str
        Names.
    accuracy : Share
        Share of items that are solved; with several samples an item, pass@1 by the unbiased estimator.
    unparsable : float
        Share of answers out of which no label could be read; they count as wrong.
    cut : int
        Answers whose prompt did not fit the model's context whole.
    items_sha256 : str
        Hash of the ids in their order: two scores can be compared if it is the same.
    groups : Mapping[str, Share]
        The parts of a task that are reported for themselves.
    pass_at : Mapping[str, float]
        pass@k by k, where items have several samples.
    """

    task: str
    scoring: str
    accuracy: Share
    unparsable: float
    cut: int
    items_sha256: str
    groups: Mapping[str, Share] = field(default_factory=dict)
    pass_at: Mapping[str, float] = field(default_factory=dict)


def share(hits: int, n: int) -> Share:
    """Return the share of `hits` in `n` with its Wilson interval."""
    value, squared = hits / n, Z * Z
    centre = (value + squared / (2 * n)) / (1 + squared / n)
    half = Z / (1 + squared / n) * math.sqrt(value * (1 - value) / n + squared / (4 * n * n))
    return Share(n, value, max(0.0, centre - half), min(1.0, centre + half))


def pass_at(n: int, correct: int, k: int) -> float:
    """Return the unbiased estimate that one of `k` samples is right, of `n` samples with `correct` right ones.

    Chen et al. 2021 (arXiv 2107.03374), section 2.1, equation 1: 1 - C(n - c, k) / C(n, k).
    """
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


def score(task: str, scoring: str, answers: Sequence[Answer]) -> TaskScore:
    """Make a task's score of the answers to its items.

    Raises
    ------
    EvaluationError
        If there are none, or items have different numbers of samples.
    """
    if not answers:
        raise EvaluationError(f"{task} by {scoring}: there is no answer to score")
    by_item: dict[str, list[Answer]] = {}
    for one in answers:
        by_item.setdefault(one.id, []).append(one)
    samples = {len(ones) for ones in by_item.values()}
    if len(samples) > 1:
        raise EvaluationError(f"{task} by {scoring}: items have {' and '.join(map(str, sorted(samples)))} samples")
    (n,) = samples
    solved = [sum(one.correct for one in ones) for ones in by_item.values()]
    groups: dict[str, list[int]] = {}
    for ones, count in zip(by_item.values(), solved, strict=True):
        groups.setdefault(ones[0].group, []).append(count)
    return TaskScore(
        task,
        scoring,
        _mean(solved, n),
        sum(not one.chosen for one in answers) / len(answers),
        sum(one.cut > 0 for one in answers),
        hashlib.sha256("\n".join(by_item).encode()).hexdigest(),
        {name: _mean(counts, n) for name, counts in groups.items() if name},
        {str(k): sum(pass_at(n, count, k) for count in solved) / len(solved) for k in (1, 10, 100) if 1 < n >= k},
    )


def _mean(solved: Sequence[int], samples: int) -> Share:
    """Return the mean share of samples that are right, over items."""
    if samples == 1:
        return share(sum(solved), len(solved))
    n = len(solved)
    values = [count / samples for count in solved]
    mean = sum(values) / n
    half = Z * math.sqrt(sum((value - mean) ** 2 for value in values) / max(n - 1, 1) / n)
    return Share(n, mean, max(0.0, mean - half), min(1.0, mean + half))


def mcnemar(first: Iterable[Answer], second: Iterable[Answer]) -> float:
    """Return the two-sided p of the exact McNemar test: whether two models solve as many of the same items.

    McNemar 1947; exact as a sign test over the items that only one of them solves.

    Raises
    ------
    EvaluationError
        If the two did not answer the same items.
    """
    ours, theirs = ({(one.id, one.sample): one.correct for one in answers} for answers in (first, second))
    if ours.keys() != theirs.keys():
        raise EvaluationError(
            f"the two answered different items: {len(ours.keys() ^ theirs.keys())} stand in one alone"
        )
    only_ours = sum(ours[key] and not theirs[key] for key in ours)
    only_theirs = sum(theirs[key] and not ours[key] for key in ours)
    return sign_test(only_ours, only_theirs)


def sign_test(first: int, second: int) -> float:
    """Return the two-sided p of the exact sign test: `first` and `second` come from coins that fall even.

    Of McNemar's test these are the items that one model alone solves.
    """
    n, ways, tail = first + second, 1, 0
    for k in range(min(first, second) + 1):
        tail += ways
        ways = ways * (n - k) // (k + 1)  # of n over k the next
    p: float = 2 * tail / 2**n
    return min(1.0, p)

"""Ratios of two arms that took turns in one run: the one way in which a benchmark here compares."""

import json
import random
import statistics
from collections.abc import Sequence

__all__ = ["digits", "ratio"]

RESAMPLES = 10_000


def ratio(name: str, ours: Sequence[float], theirs: Sequence[float], goal: str) -> str:
    """Return, as a line of JSON, the median of the ratios of pairs, and its 95 % interval (percentile bootstrap).

    Parameters
    ----------
    name : str
        What was measured.
    ours, theirs : sequence of float
        The figures of each pair, in the order in which they were taken.
    goal : str
        What the ratio should be.
    """
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    generator = random.Random(0)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    figures = {
        "figure": name,
        "median_ratio": digits(statistics.median(ratios)),
        "interval_95": [digits(medians[int(at * RESAMPLES)]) for at in (0.025, 0.975)],
        "extremes": [digits(min(ratios)), digits(max(ratios))],
        "pairs": len(ratios),
        "median_ours": digits(statistics.median(ours)),
        "median_theirs": digits(statistics.median(theirs)),
        "goal": goal,
    }
    return json.dumps(figures)


def digits(value: float) -> float:
    """Return a figure with as many digits as it is worth."""
    return float(f"{value:.4g}")

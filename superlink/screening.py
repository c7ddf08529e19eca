"""What the coordinator tells about a round's updates as they pass: norms, directions, and which of them are outliers.

Strategies that fold updates in hold none of them, so nothing here does: an update is read once, and a sketch of it
stays, 32 KiB whatever its size. Cosines of sketches are those of the updates, but for about 0.016.
"""

import math
import secrets
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fedlora.errors import UpdateNormError
from fedlora.wire.spec import Vector

__all__ = ["FEWEST", "OUTLIERS", "SUSPICIOUS", "Screening", "outlying"]

OUTLIERS = ("norm", "cosine", "copy")

BUCKETS = 4096
ROWS = 8  # that are drawn and added at once
FEWEST = 5  # updates of which a median and a spread say something
SUSPICIOUS = 3.5  # robust standard deviations (Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers)
NORMAL = 1.4826  # of a normal distribution, standard deviations in a median absolute deviation
# Spreads below these are taken for these: what differs by less, differs by chance or by the sketch.
LEAST_SPREAD = {"update_norm": 0.05, "update_cosine": 1 / math.sqrt(BUCKETS)}
SCORES = {"update_norm": "norm_score", "update_cosine": "cosine_score"}
COPY = 1 - 1e-6  # a cosine from which on two updates are one

Sketch = npt.NDArray[np.float64]


class Screening:
    """The updates of one round.

    Each value of an update is given a sign and added to one of 4096 buckets (Charikar et al. 2002, Finding Frequent
    Items in Data Streams, section 3). Signs and buckets are drawn anew in each round, from the operating system's
    generator: no site can make an update that looks like another one.

    Parameters
    ----------
    size : int
        Values of an update.
    largest : float
        Largest Euclidean norm that an update may have; 0 for any.
    """

    def __init__(self, size: int, largest: float = 0.0) -> None:
        self.size = size
        self.largest = largest
        self._seed = secrets.randbits(128)
        self._norms: dict[str, float] = {}
        self._sketches: dict[str, Sketch] = {}

    def take(self, site: str, update: Vector) -> None:
        """Look at the update of `site`, of shape (size,), whose values are finite.

        Raises
        ------
        UpdateNormError
            If its norm is above the largest; the norm is among the findings all the same.
        """
        sketch, norm = self._sketch(update)
        self._norms[site] = norm
        if self.largest and norm > self.largest:
            raise UpdateNormError(
                f"the update's norm is {norm:.6g}; this run takes up to {self.largest:g} (run.largest-update-norm)"
            )
        self._sketches[site] = sketch

    def findings(self) -> dict[str, dict[str, float]]:
        """Return what was found, by site.

        Returns
        -------
        dict
            ``update_norm``: its Euclidean norm. ``update_cosine``: the median of its cosines to the other sites'
            updates; ``closest_cosine``: the highest of them; both absent for an update of zeros, or without another
            one. ``norm_score``, ``cosine_score``: how far the norm's logarithm and the median cosine are from the
            median of all updates, in robust standard deviations; absent with fewer than 5.
        """
        found = {site: {"update_norm": norm} for site, norm in self._norms.items()}
        for site, cosines in self._cosines().items():
            found[site] |= {"update_cosine": statistics.median(cosines), "closest_cosine": max(cosines)}
        taken = [site for site in self._sketches if self._norms[site] > 0]
        for figure, score in SCORES.items():
            values = {site: found[site][figure] for site in taken if figure in found[site]}
            if figure == "update_norm":
                values = {site: math.log(value) for site, value in values.items()}
            for site, value in _scores(values, LEAST_SPREAD[figure]).items():
                found[site][score] = value
        return found

    def _sketch(self, update: Vector) -> tuple[Sketch, float]:
        """Return the sketch of `update` and its norm."""
        drawn = np.random.default_rng(self._seed)  # the same signs and buckets for each update of the round
        sketch, squares = np.zeros(BUCKETS), 0.0
        rows = np.zeros((min(ROWS, -(-self.size // BUCKETS)), BUCKETS))
        for start in range(0, self.size, rows.size):
            part = update[start : start + rows.size]
            signs = np.unpackbits(np.frombuffer(drawn.bytes(rows.size // 8), np.uint8)).reshape(rows.shape)
            shifts = drawn.integers(BUCKETS, size=len(rows))
            flat = rows.reshape(-1)
            flat[: part.size], flat[part.size :] = part, 0.0
            squares += float(flat @ flat)
            np.negative(rows, out=rows, where=signs.astype(bool))
            for row, shift in zip(rows, shifts, strict=True):  # what stands above each other in a matrix, does not here
                sketch[shift:] += row[: BUCKETS - shift]
                sketch[:shift] += row[BUCKETS - shift :]
        return sketch, math.sqrt(squares)

    def _cosines(self) -> dict[str, list[float]]:
        """Return the cosines of each update to all others, by site; without those of zeros."""
        kept = {site: sketch for site, sketch in self._sketches.items() if sketch.any()}
        if len(kept) < 2:
            return {}
        units = np.array([sketch / np.linalg.norm(sketch) for sketch in kept.values()])
        products = np.clip(units @ units.T, -1.0, 1.0)
        return {site: [float(one) for one in np.delete(products[at], at)] for at, site in enumerate(kept)}


def outlying(examined: Mapping[str, float]) -> tuple[str, ...]:
    """Return in what an update is an outlier, of ``norm``, ``cosine`` and ``copy``.

    Parameters
    ----------
    examined : mapping
        What `Screening.findings` says of it. ``norm``: longer or shorter than the others'; ``cosine``: it points away
        from them; ``copy``: it points exactly where another site's does.
    """
    holds = (
        abs(examined.get("norm_score", 0.0)) > SUSPICIOUS,
        examined.get("cosine_score", 0.0) < -SUSPICIOUS,
        examined.get("closest_cosine", 0.0) > COPY,
    )
    return tuple(word for word, one in zip(OUTLIERS, holds, strict=True) if one)


def _scores(values: Mapping[str, float], least_spread: float) -> dict[str, float]:
    """Return how many robust standard deviations each value is from the median; nothing of too few."""
    if len(values) < FEWEST:
        return {}
    middle = statistics.median(values.values())
    spread = max(NORMAL * _middle_distance(list(values.values()), middle), least_spread)
    return {site: (value - middle) / spread for site, value in values.items()}


def _middle_distance(values: Sequence[float], middle: float) -> float:
    return statistics.median(abs(value - middle) for value in values)

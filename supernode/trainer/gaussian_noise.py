"""Cutting an update off at a norm, and adding Gaussian noise to it (McMahan et al. 2018, arXiv 1710.06963).

The noise is the operating system's randomness and no generator's: nobody can compute it again, whatever seed he knows.
Floats are no real numbers, and the last bits of a noisy one can tell what was below the noise (Mironov 2012). So the
sum is rounded to a grid whose step is a 1,024th to a 2,048th of the noise, 2^40 times coarser than the floats that are
summed: what leaves is a multiple of the step. Logarithm and cosine are still rounded ones, which nothing here accounts
for.
"""

import math
import os

import numpy as np
import numpy.typing as npt

from fedlora.errors import TrainerError
from fedlora.wire.spec import Vector

__all__ = ["clipped", "noised", "standard_normal"]

Doubles = npt.NDArray[np.float64]

AT_ONCE = 2**20  # values, of which each takes 32 bytes meanwhile
STEPS = 10  # binary digits of the noise's standard deviation, in steps of the grid
WITHIN = 1 - 1e-9  # so that no rounding lifts a norm above the bound


def clipped(values: Vector, norm: float) -> tuple[Doubles, float]:
    """Return `values`, of shape (size,), shortened to a Euclidean norm of at most `norm`, and the norm that they had.

    Raises
    ------
    TrainerError
        If a value is not finite.
    """
    exact = values.astype(np.float64)
    before = float(np.linalg.norm(exact))
    if not math.isfinite(before):
        raise TrainerError("the update is not finite, and cannot be cut off at a norm")
    if before > norm * WITHIN:
        exact *= norm * WITHIN / before
    return exact, before


def noised(values: Doubles, deviation: float) -> Vector:
    """Return `values`, of shape (size,), with noise of this standard deviation on each, on the noise's grid."""
    step = 2.0 ** (math.floor(math.log2(deviation)) - STEPS)
    noise = standard_normal(values.size)
    noise *= deviation
    noise += values
    noise /= step
    np.rint(noise, out=noise)
    noise *= step
    return noise.astype(np.float32)


def standard_normal(size: int) -> Doubles:
    """Return `size` independent values of a standard normal distribution (Box and Muller 1958), none beyond 9.5."""
    values = np.empty(size, dtype=np.float64)
    for start in range(0, size, AT_ONCE):
        part = values[start : start + AT_ONCE]
        pairs = (part.size + 1) // 2
        drawn = np.frombuffer(os.urandom(16 * pairs), dtype=np.uint64).astype(np.float64)
        radius = np.sqrt(-2 * np.log((drawn[:pairs] + 0.5) / 2**64))
        angle = drawn[pairs:] * (2 * math.pi / 2**64)
        part[:pairs] = radius * np.cos(angle)
        part[pairs:] = (radius * np.sin(angle))[: part.size - pairs]
    return values

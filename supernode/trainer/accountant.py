"""The epsilon of Gaussian noise, added up over updates: exact, since no update is drawn by lot.

Noise of standard deviation s hides a difference d by ``distance = d / s``. Answers to questions that are asked one
after the other, each as the answers before suggest, hide it like one answer whose squared distance is the sum of theirs
(Dong, Roth and Su 2019, arXiv 1905.02383, theorem 3.4 and corollary 3.3), and one answer's delta for an epsilon has a
closed form (Balle and Wang 2018, arXiv 1805.06530, theorem 8). So nothing is bounded here that could be computed: the
figures are those of an accountant of privacy loss distributions, and tests hold them to one.
"""

import math

__all__ = ["delta_of", "distance_within", "epsilon_of", "update_distance", "updates_within"]

FAR = 25.0  # beyond it the tail is taken from below, which makes epsilon larger by less than a thousandth of a percent


def update_distance(noise_multiplier: float) -> float:
    """Return the distance of one update: two that are cut off at the norm C differ by 2 C, and the noise has z C."""
    return 2.0 / noise_multiplier if noise_multiplier else math.inf


def delta_of(epsilon: float, distance: float) -> float:
    """Return the delta that holds with `epsilon` at a distance above 0."""
    below, above = epsilon / distance - distance / 2, epsilon / distance + distance / 2
    density = math.exp(-(below**2) / 2) / math.sqrt(2 * math.pi)
    if below < 0:
        return math.erfc(below / math.sqrt(2)) / 2 - density * _tail(above)
    return density * (_tail(below) - _tail(above))


def epsilon_of(distance: float, delta: float) -> float:
    """Return the smallest epsilon that holds with `delta`, rounded up."""
    if distance == 0 or math.isinf(distance):
        return distance
    low, high = 0.0, 1.0
    if delta_of(low, distance) <= delta:
        return low
    while delta_of(high, distance) > delta:
        high *= 2
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if delta_of(middle, distance) <= delta else (middle, high)
    return high


def distance_within(epsilon: float, delta: float) -> float:
    """Return the largest distance at which `epsilon` holds with `delta`, rounded down."""
    low, high = 0.0, 1.0
    while delta_of(epsilon, high) <= delta:
        high *= 2
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if delta_of(epsilon, middle) <= delta else (low, middle)
    return low


def updates_within(epsilon: float, delta: float, noise_multiplier: float) -> int:
    """Return how many updates with this noise stay within `epsilon` and `delta`."""
    return int((distance_within(epsilon, delta) / update_distance(noise_multiplier)) ** 2)


def _tail(x: float) -> float:
    """Return Mills' ratio at `x` of at least 0: the normal tail beyond it over the density there, or a little less."""
    if x < FAR:
        return math.erfc(x / math.sqrt(2)) * math.exp(x**2 / 2) * math.sqrt(math.pi / 2)
    return 2 / (x + math.sqrt(x**2 + 4))  # Birnbaum 1942

"""Epsilon against an accountant of others', against its definition, and against itself."""

import math

import numpy as np
import pytest

from supernode.trainer.accountant import delta_of, distance_within, epsilon_of, update_distance, updates_within

# Taken from dp-accounting 0.6.0 in an environment of its own (it wants an attrs below 24): PLDAccountant with
# value_discretization_interval=1e-3 and RdpAccountant, GaussianDpEvent(noise multiplier / 2) composed so many times.
# delta, noise multiplier, updates, epsilon of privacy loss distributions, epsilon of Renyi divergences
ACCOUNTED = [
    (1e-5, 1.0, 1, 9.997256439824454, 10.725509696418232),
    (1e-5, 2.0, 10, 17.856587112273928, 19.05359753163139),
    (1e-5, 20.0, 200, 6.572970123762753, 7.077391578166641),
    (1e-6, 0.5, 1, 26.356963963147184, 27.816071630016364),
    (1e-6, 5.0, 50, 16.860440723328185, 17.86144010371158),
    (1e-8, 10.0, 200, 19.32387866097636, 20.24352505821983),
    (1e-8, 1.0, 1, 12.749246748273665, 13.38639080137985),
]


@pytest.mark.parametrize(("delta", "noise", "updates", "exact", "bound"), ACCOUNTED)
def test_epsilon_is_that_of_the_accountants(delta, noise, updates, exact, bound):
    epsilon = epsilon_of(update_distance(noise) * math.sqrt(updates), delta)
    assert epsilon == pytest.approx(exact, abs=1e-6)
    assert epsilon < bound


@pytest.mark.parametrize(("distance", "epsilon"), [(0.5, 0.3), (2.0, 5.0), (1.0, 0.0), (3.0, 20.0)])
def test_delta_is_what_its_definition_says(distance, epsilon):
    """The largest surplus of one probability over exp(epsilon) times the other, summed over what may come out."""
    x, step = np.linspace(-40, 40, 2_000_001, retstep=True)
    with_it, without = (np.exp(-((x - at) ** 2) / 2) / math.sqrt(2 * math.pi) for at in (distance, 0.0))
    surplus = np.clip(with_it - math.exp(epsilon) * without, 0, None).sum() * step
    assert delta_of(epsilon, distance) == pytest.approx(surplus, rel=1e-4)


def test_two_updates_at_the_bound_are_two_norms_apart():
    assert update_distance(4.0) == 0.5
    assert update_distance(0.0) == math.inf
    assert epsilon_of(math.inf, 1e-6) == math.inf
    assert epsilon_of(0.0, 1e-6) == 0.0


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0, 100.0, 3000.0])
def test_limits_are_met_and_not_passed(epsilon):
    distance = distance_within(epsilon, 1e-6)
    assert epsilon_of(distance, 1e-6) == pytest.approx(epsilon, rel=1e-6)
    assert epsilon_of(distance, 1e-6) <= epsilon * (1 + 1e-9)
    count = updates_within(epsilon, 1e-6, 20.0)
    assert epsilon_of(update_distance(20.0) * math.sqrt(count), 1e-6) <= epsilon
    assert epsilon_of(update_distance(20.0) * math.sqrt(count + 1), 1e-6) > epsilon


def test_epsilon_is_finite_far_out():
    """Large distances, whose exponentials do not fit a float: of those, epsilon is nearly half of the square."""
    for distance in (50.0, 100.0, 1000.0):
        assert epsilon_of(distance, 1e-6) == pytest.approx(distance**2 / 2 + 4.753 * distance, rel=1e-3)

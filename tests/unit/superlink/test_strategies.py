"""Each strategy against its paper's formula, and what else all of them promise."""

import math
from itertools import permutations

import numpy as np
import pytest
from strategy_formulas import formulas, krum_scores, products

from fedlora.errors import CheckpointError, ConfigurationError, ParticipationError
from fedlora.strategies import STRATEGIES, least_updates, options_of
from superlink.strategies import REGISTRY, new_strategy
from superlink.strategies.flexlora import mean_product
from tests.integration.stub_trainer import spec

SPEC = spec(rank=2, width=5, layers=2)
FACTORS = {"ffa-lora": "b", "rolora": "alternating"}
OPTIONS = {
    "fedavgm": {"server-learning-rate": 0.7, "server-momentum": 0.8},
    "fedadam": {"server-learning-rate": 0.05, "server-momentum": 0.8, "server-beta-2": 0.95, "server-adaptivity": 0.02},
    "fedyogi": {"server-learning-rate": 0.05, "server-momentum": 0.8, "server-beta-2": 0.95, "server-adaptivity": 0.02},
    "fedadagrad": {"server-learning-rate": 0.05, "server-momentum": 0.6, "server-adaptivity": 0.02},
    "trimmed-mean": {"trim": 0.3},
    "krum": {"byzantine": 2},
    "multi-krum": {"byzantine": 2, "selected": 3},
}
SITES, ROUNDS = 8, 3


def part_of(name, number):
    return SPEC.trained(FACTORS.get(name, "both"), number)


def made_up(seed):
    """Return the weights of eight sites, and what they send in each of three rounds: one outlier among them."""
    generator = np.random.default_rng(seed)
    weights = [int(weight) for weight in generator.integers(1, 1000, SITES)]
    updates = [generator.normal(scale=0.1, size=(SITES, SPEC.size)).astype(np.float32) for _ in range(ROUNDS)]
    for round_updates in updates:
        round_updates[seed % SITES] *= 50
    return weights, updates


def start(seed):
    return np.random.default_rng(100 + seed).normal(size=SPEC.size).astype(np.float32)


def merge(strategy, number, adapter, updates, weights, order=None, missing=()):
    """Run one round of a strategy as the coordinator does; return the whole adapter after it."""
    part = part_of(strategy.name, number)
    collected = strategy.begin(part.size, len(updates))
    for position in order or range(len(updates)):
        if position in missing:
            collected.miss(position)
        else:
            collected.add(position, SPEC.cut(updates[position], part), weights[position])
    return SPEC.replaced(adapter, part, strategy.merge(SPEC.cut(adapter, part), collected, part))


def run(name, seed, **how):
    """Run the rounds of a made-up case; return the adapter after each."""
    weights, updates = made_up(seed)
    strategy, adapters = new_strategy(name, OPTIONS.get(name, {}), "lora"), [start(seed)]
    for number in range(1, ROUNDS + 1):
        adapters.append(merge(strategy, number, adapters[-1], updates[number - 1], weights, **how))
    return adapters[1:]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", STRATEGIES)
def test_three_rounds_are_what_the_papers_formula_gives(name, seed):
    weights, updates = made_up(seed)
    state, adapter, formula = {}, start(seed), formulas(SPEC)[name]
    for number, found in enumerate(run(name, seed), 1):
        part = part_of(name, number)
        sent = np.array([SPEC.cut(update, part) for update in updates[number - 1]])
        expected = SPEC.replaced(
            adapter, part, formula(SPEC.cut(adapter, part), weights, sent, OPTIONS.get(name), state)
        )
        if name == "flexlora":  # singular vectors have no sign of their own
            for ours, theirs in zip(products(SPEC, found), products(SPEC, expected), strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
        adapter = found


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_order_of_arrival_changes_no_bit(name):
    usual = run(name, 1)[-1].tobytes()
    orders = list(permutations(range(SITES)))
    for order in (orders[-1], orders[12345], orders[30001]):
        assert run(name, 1, order=order)[-1].tobytes() == usual


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_missing_site_is_as_if_it_had_never_been_asked(name):
    weights, updates = made_up(2)
    without = [np.delete(update, 4, axis=0) for update in updates]
    asked, unasked = (new_strategy(name, OPTIONS.get(name, {}), "lora") for _ in range(2))
    one = merge(asked, 1, start(2), updates[0], weights, missing=(4,))
    other = merge(unasked, 1, start(2), without[0], weights[:4] + weights[5:])
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("name", ["fedmedian", "trimmed-mean", "krum", "multi-krum"])
def test_too_few_updates_are_refused_by_the_strategys_name(name):
    options = options_of(STRATEGIES[name], OPTIONS.get(name, {}))
    weights, updates = made_up(0)
    least = least_updates(name, options)
    strategy = new_strategy(name, OPTIONS.get(name, {}), "lora")
    merge(strategy, 1, start(0), updates[0][:least], weights)
    with pytest.raises(
        ParticipationError, match=f"strategy {name} needs {least} updates in a round; there are {least - 1}"
    ):
        merge(strategy, 1, start(0), updates[0][: least - 1], weights)


@pytest.mark.parametrize("name", ["fedmedian", "trimmed-mean", "krum", "multi-krum"])
def test_a_wrong_update_cannot_move_a_robust_strategy_far(name):
    weights, updates = made_up(0)
    honest = updates[0][1:]  # the first is the outlier
    for lie in (1e30, -1e30, 1e3):
        sent = np.vstack([np.full((1, SPEC.size), lie, dtype=np.float32), honest])
        strategy = new_strategy(name, OPTIONS.get(name, {}), "lora")
        moved = merge(strategy, 1, np.zeros(SPEC.size, dtype=np.float32), sent, weights)
        assert (moved >= honest.min(axis=0) - 1e-6).all()
        assert (moved <= honest.max(axis=0) + 1e-6).all()


def test_no_site_can_blind_krum_for_the_differences_of_others():
    """One update is so large that others, taken relative to it, would all be the same; another is then the lie."""
    generator = np.random.default_rng(3)
    sent = generator.normal(size=(8, SPEC.size)).astype(np.float32)
    sent[0], sent[1] = 1e30, 1e6
    strategy = new_strategy("krum", {"byzantine": 2}, "lora")
    chosen = merge(strategy, 1, np.zeros(SPEC.size, dtype=np.float32), sent, [1] * 8)
    found = krum_scores(sent, 2)
    assert chosen.tobytes() == sent[found.index(min(found))].tobytes() != sent[1].tobytes()


def test_krum_takes_the_first_of_equals_and_sees_small_differences_of_large_updates():
    generator = np.random.default_rng(0)
    common = 1e4 * generator.normal(size=SPEC.size)
    sent = (common + 1e-2 * generator.normal(size=(7, SPEC.size))).astype(np.float32)
    sent[5] = sent[2]
    strategy = new_strategy("krum", {"byzantine": 2}, "lora")
    chosen = merge(strategy, 1, np.zeros(SPEC.size, dtype=np.float32), sent, [1] * 7)
    found = krum_scores(sent, 2)
    assert min(found) == found[2] == found[5]
    assert chosen.tobytes() == sent[2].tobytes()


@pytest.mark.parametrize(
    ("sites", "rank", "outputs", "inputs"), [(1, 2, 6, 7), (3, 2, 9, 8), (6, 4, 5, 11), (3, 4, 3, 9)]
)
def test_the_mean_product_is_the_nearest_of_its_rank_with_rows_of_a_to_learn_with(sites, rank, outputs, inputs):
    """Also where the stacks are wider than the module, the module smaller than the rank, and ranks mixed."""
    generator = np.random.default_rng(sites)
    shares = generator.dirichlet([1.0] * sites)
    ranks = [max(1, rank - site % 3) for site in range(sites)]
    factors = [(generator.normal(size=(outputs, r)), generator.normal(size=(r, inputs))) for r in ranks]
    b, a = mean_product(shares, factors, rank)
    mean = sum(share * one @ other for share, (one, other) in zip(shares, factors, strict=True))
    u, sizes, v = np.linalg.svd(mean)
    kept = min(rank, outputs)
    np.testing.assert_allclose(b @ a, (u[:, :kept] * sizes[:kept]) @ v[:kept], atol=1e-12)
    np.testing.assert_allclose(a[:kept] @ a[:kept].T, np.eye(kept), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(b[:, :kept], axis=0), sizes[:kept], atol=1e-12)


def test_flexlora_leaves_no_direction_dead_where_the_mean_uses_none():
    """B of zero, as in round 1 of a site that learned nothing: A keeps rows by which B can learn."""
    _, a = mean_product([1.0], [(np.zeros((6, 2)), np.random.default_rng(0).normal(size=(2, 7)))], 2)
    np.testing.assert_allclose(a @ a.T, np.eye(2), atol=1e-12)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_state_that_went_to_the_disk_and_back_goes_on_bit_for_bit(name, tmp_path):
    from superlink.checkpoints import Checkpoints

    weights, updates = made_up(0)
    undisturbed = run(name, 0)
    strategy, checkpoints = new_strategy(name, OPTIONS.get(name, {}), "lora"), Checkpoints(tmp_path)
    adapter = start(0)
    for number in (1, 2):
        adapter = merge(strategy, number, adapter, updates[number - 1], weights)
    checkpoints.place(checkpoints.prepare(2, 1, adapter, SPEC, strategy.state), 2)
    found = checkpoints.newest()
    resumed = new_strategy(name, OPTIONS.get(name, {}), "lora")
    resumed.restore(found.state, part_of(name, 2).size)
    assert merge(resumed, 3, found.adapter, updates[2], weights).tobytes() == undisturbed[2].tobytes()
    assert sorted(found.state) == sorted(strategy.keeps)
    if strategy.keeps:  # and it matters
        fresh = new_strategy(name, OPTIONS.get(name, {}), "lora")
        assert merge(fresh, 3, found.adapter, updates[2], weights).tobytes() != undisturbed[2].tobytes()


def test_a_state_that_is_not_the_strategys_is_refused():
    strategy = new_strategy("fedavgm", {}, "lora")
    for state in ({}, {"momentum": np.zeros(3, np.float32)}, {"first_moment": np.zeros(4, np.float32)}):
        with pytest.raises(
            CheckpointError, match=r"state of strategy fedavgm has .*; expected momentum, of 4 values each"
        ):
            strategy.restore(state, 4)


def test_a_kind_of_adapter_that_a_strategy_cannot_give_is_refused_by_name():
    with pytest.raises(ConfigurationError, match="strategy flexlora gives no dora adapter; it gives: lora, rslora"):
        new_strategy("flexlora", {}, "dora")


def test_every_statement_has_a_computation_and_the_two_agree():
    """What `fedlora.strategies` states, seen: memory, weights, options, and how exact the product is."""
    assert list(REGISTRY) == list(STRATEGIES)
    for name, stated in STRATEGIES.items():
        strategy = new_strategy(name, OPTIONS.get(name, {}), "lora")
        part, (weights, updates) = part_of(name, 1), made_up(0)
        collected = strategy.begin(part.size, SITES)
        for position, update in enumerate(updates[0]):
            collected.add(position, SPEC.cut(update, part), weights[position])
        held = sum(vector.size for vector in getattr(collected, "vectors", []))
        assert (held == 0) == stated.streaming == (stated.memory == "O(1)"), name
        equal = merge(new_strategy(name, OPTIONS.get(name, {}), "lora"), 1, start(0), updates[0], [1] * SITES)
        weighted = merge(new_strategy(name, OPTIONS.get(name, {}), "lora"), 1, start(0), updates[0], weights)
        assert (equal.tobytes() != weighted.tobytes()) == stated.weighted, name
        assert sent_back(name) == stated.up, name


def sent_back(name):
    """Say which factors travel from a site, by what the parts of rounds 1 and 2 hold."""
    odd, even = (
        [side for side in "AB" if any(f".lora_{side}." in tensor.name for tensor in part_of(name, number).tensors)]
        for number in (1, 2)
    )
    return " and ".join(odd) if odd == even else f"{' and '.join(odd)} in odd rounds, {' and '.join(even)} in even ones"


@pytest.mark.parametrize("name", [name for name, stated in STRATEGIES.items() if stated.product == "exact"])
def test_the_exact_ones_give_the_mean_product_and_factor_averaging_another(name):
    weights, updates = made_up(1)
    adapters, exact = [start(1), *run(name, 1)], []
    for number in range(1, ROUNDS + 1):
        part, before = part_of(name, number), adapters[number - 1]
        sites = [SPEC.replaced(before, part, SPEC.cut(before + d, part)) for d in updates[number - 1]]
        exact.append(error(sites, weights, adapters[number]))
    assert max(exact) < 1e-6
    averaged = run("fedavg", 1)[0]
    assert error([start(1) + d for d in updates[0]], weights, averaged) > 1e3 * max(exact)


def error(sites, weights, merged):
    """Return the largest relative Frobenius distance of a module's product to the sites' mean product."""
    means = [
        sum(w / sum(weights) * product for w, product in zip(weights, own, strict=True))
        for own in zip(*(products(SPEC, site) for site in sites), strict=True)
    ]
    return max(
        math.sqrt(((m - p) ** 2).sum() / (m**2).sum()) for m, p in zip(means, products(SPEC, merged), strict=True)
    )

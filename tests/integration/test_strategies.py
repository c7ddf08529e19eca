"""Every strategy over the real engine, three rounds each, against its paper's formula; one federation for all."""

import numpy as np
import pytest
from safetensors.numpy import load_file
from strategy_formulas import formulas, products

from fedlora.strategies import STRATEGIES, options_text
from superlink.adapters import join_adapter
from superlink.initialisation import initial_adapter
from tests.integration import stub_trainer
from tests.integration.conftest import federation

SPEC = stub_trainer.spec()
# What each site's stub adds to every value in round 1, twice and three times that in the others; and its records.
SITES = {"site-1": (0.1, 10), "site-2": (-0.02, 30), "site-3": (0.03, 20), "site-4": (0.5, 40)}
OPTIONS = {
    "trimmed-mean": {"trim": 0.25},
    "krum": {"byzantine": 0},
    "multi-krum": {"byzantine": 0, "selected": 2},
}


@pytest.fixture(scope="module")
def four_sites(tmp_path_factory):
    with federation(tmp_path_factory.mktemp("strategies") / "federation", sites=4) as made:
        made.start()
        yield made


def factors_of(name):
    return STRATEGIES[name].recipe.get("factors", "both")


def run(made, name, run, **changes):
    """Run a strategy, with sites that behave as its recipe says; return what became of it."""
    made.run = run
    for site, (delta, examples) in SITES.items():
        made.behave(site, delta=delta, examples=examples, factors=factors_of(name))
    options = options_text(OPTIONS.get(name, {}))
    values = {"strategy": name, "strategy_options": options, "factors": factors_of(name), "min_sites": 4}
    return made.finish(made.config(**{**values, **changes}))


def adapter(made, number=3):
    """Return the adapter after a round; the checkpoints of three are kept."""
    folder = made.folder.checkpoints.directory / f"round-{number:04d}"
    return join_adapter(load_file(folder / "adapter_model.safetensors"), SPEC)


def by_the_formula(name, number, before, state):
    """Return what becomes of the adapter `before` in a round."""
    options, weights = (
        {**STRATEGIES[name].options, **OPTIONS.get(name, {})},
        [examples for _, examples in SITES.values()],
    )
    part = SPEC.trained(factors_of(name), number)
    sent = np.array([np.full(part.size, delta * number, dtype=np.float32) for delta, _ in SITES.values()])
    values = formulas(SPEC)[name](SPEC.cut(before, part), weights, sent, options, state)
    return SPEC.replaced(before, part, values.astype(np.float32))


@pytest.mark.parametrize("name", STRATEGIES)
def test_three_rounds_are_what_the_strategys_formula_gives(four_sites, name):
    attempt = run(four_sites, name, name)
    assert attempt.outcome == "completed", attempt
    before, state = initial_adapter(SPEC, seed=7), {}
    for number in (1, 2, 3):
        found, expected = adapter(four_sites, number), by_the_formula(name, number, before, state)
        if name == "flexlora":  # factors have no basis of their own
            for ours, theirs in zip(products(SPEC, found), products(SPEC, expected), strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        before = found
    bytes_up = [turn.bytes_up for turn in four_sites.ledger().turns()]
    part = SPEC.trained(factors_of(name), 1)
    assert 4 * part.size < min(bytes_up) <= max(bytes_up) < 4 * part.size + 1000  # A is as large as B here


def test_an_optimiser_at_the_coordinator_goes_on_bit_for_bit_after_its_attempt_has_ended(four_sites):
    assert run(four_sites, "fedyogi", "whole").outcome == "completed"
    undisturbed = adapter(four_sites).tobytes()
    ended = run(four_sites, "fedyogi", "in-two", budget_rounds=2, ignore_forecast=True)
    assert (ended.outcome, "BudgetError" in ended.details) == ("failed", True)
    assert (four_sites.folder.adapter / "strategy.safetensors").is_file()
    assert run(four_sites, "fedyogi", "in-two", epoch=2).outcome == "completed"
    assert adapter(four_sites).tobytes() == undisturbed


def test_an_update_that_is_not_the_rounds_part_is_refused_by_name(four_sites):
    """The stubs send A and B, where the coordinator expects B alone."""
    attempt = run(four_sites, "fedavg", "another-part", factors="b", rounds=1)
    assert attempt.outcome == "failed"
    assert "refused, update refused: WireError: header field spec_sha256 is" in attempt.details


def test_updates_of_which_no_adapter_can_be_made_end_the_run_by_name(four_sites):
    four_sites.run = "beyond"
    for site in SITES:
        four_sites.behave(site, delta=3e38, examples=10)
    options = options_text({"server-momentum": 0.9, "server-learning-rate": 10.0})
    config = four_sites.config(rounds=1, strategy="fedavgm", strategy_options=options)
    attempt = four_sites.finish(config)
    assert attempt.outcome == "failed"
    assert (
        "AggregationError: round 1: strategy fedavgm makes values of the updates that are not finite" in attempt.details
    )
    assert [row.state for row in four_sites.ledger().rounds()] == ["failed"]

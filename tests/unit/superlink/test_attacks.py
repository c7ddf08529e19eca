"""A part of `make bench-attacks`: attacks do harm, robust strategies and a norm bound stop them, reports name them."""

import dataclasses
from pathlib import Path

import numpy as np
import poisoning
import pytest
from poisoning import ATTACKS, SPEC, federation, kept

from fedlora.errors import WireError
from fedlora.strategies import STRATEGIES
from fedlora.wire import check, decode, encode

PAGE = Path(__file__).parents[3] / "docs" / "robustness.md"
SEEDS = range(3)
LOUD = ("sign-flipped", "scaled", "flipped, scaled", "random", "overclaimed", "inner product, long")


@pytest.fixture(scope="module")
def shares():
    """Return a function that runs a strategy under an attack, and returns what it keeps with each seed."""
    calm = {}

    def call(name, attack, attackers):
        if name not in calm:
            calm[name] = [federation(name, "", 0, seed) for seed in SEEDS]
        return [kept(calm[name][seed], federation(name, attack, attackers, seed)) for seed in SEEDS]

    return call


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_learns_where_nobody_attacks(name):
    outcome = federation(name, "", 0, 0)
    assert outcome.losses[-1] < (0.95 if name == "ffa-lora" else 0.35) * outcome.losses[0]
    assert outcome.refused == {True: 0, False: 0}


@pytest.mark.parametrize("attack", ["flipped, scaled", "overclaimed", "inner product, long"])
def test_two_attackers_ruin_a_mean(shares, attack):
    assert max(shares("fedavg", attack, 2)) < 50


@pytest.mark.parametrize("attack", LOUD)
@pytest.mark.parametrize("name", ["fedmedian", "trimmed-mean", "krum", "multi-krum"])
def test_one_loud_attacker_does_not_ruin_a_robust_strategy(shares, name, attack):
    assert min(shares(name, attack, 1)) > 80


def test_who_claims_many_records_gains_nothing_where_all_weigh_the_same():
    assert federation("fedmedian", "overclaimed", 2, 0).losses == federation("fedmedian", "sign-flipped", 2, 0).losses
    assert federation("fedavg", "overclaimed", 2, 0).losses != federation("fedavg", "sign-flipped", 2, 0).losses


@pytest.mark.parametrize("attack", ["scaled", "flipped, scaled", "random"])
def test_the_norm_bound_refuses_long_updates_alone(attack):
    calm = federation("fedavg", "", 0, 0)
    bounded = federation("fedavg", attack, 3, 0, largest_norm=1.5 * calm.longest)
    assert bounded.refused[True] > 0.9 * bounded.sent[True]
    assert bounded.refused[False] == 0
    assert kept(calm, bounded) > 80


@pytest.mark.parametrize(
    ("attack", "word"), [("random", "norm"), ("inner product, long", "cosine"), ("swapped", "copy")]
)
def test_a_loud_attacker_is_reported_round_after_round(attack, word):
    outcome = federation("fedmedian", attack, 1, 0)
    assert outcome.words.get((True, word), 0) > 0.8 * outcome.sent[True]


def test_a_message_of_an_earlier_round_is_refused_before_any_strategy_sees_it():
    update = np.ones(SPEC.size, np.float32)
    about = {"kind": "update", "run": "attacked", "epoch": 1}
    sent = encode(update, SPEC, round_number=3, examples=10, **about)
    with pytest.raises(WireError, match="header field round is 3; this run expects 4"):
        check(sent.header, round=4, **about)
    other = dataclasses.replace(SPEC, alpha=16)
    with pytest.raises(WireError, match="header field spec_sha256"):
        decode(sent, other)


def test_the_page_has_every_strategy_under_every_attack():
    made = PAGE.read_text(encoding="utf-8").partition("<!-- made by make bench-attacks -->")[2]
    for attackers in ("One of", "2 of", "3 of"):
        table = made.partition(f"### {attackers} {poisoning.SITES} sites attack")[2].partition("\n### ")[0]
        (header,) = [line for line in table.splitlines() if line.startswith("| strategy")]
        assert header.split(" | ")[2:] == [*list(ATTACKS)[:-1], f"{list(ATTACKS)[-1]} |"]
        rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if "\N{PLUS-MINUS SIGN}" in line]
        assert rows == ["fedavg, norm bound", *STRATEGIES]


def test_what_is_kept_is_a_share_of_what_was_gained():
    calm = poisoning.Outcome([1.0, 0.2])
    losses = {0.2: 100, 0.6: 50, 1.0: 0, 1.8: -100, 50.0: -100, float("inf"): -100, float("nan"): -100}
    for last, share in losses.items():
        assert kept(calm, poisoning.Outcome([1.0, last])) == pytest.approx(share)

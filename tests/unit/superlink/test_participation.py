import pytest
from hypothesis import given
from hypothesis import strategies as st

from superlink.participation import Participation

FOUR = dict.fromkeys("abcd", "finance")
MIXED = {"a": "finance", "b": "finance", "c": "finance", "d": "medical", "e": "code"}


def test_all_sites_by_default_in_their_order():
    assert Participation(FOUR).sample(1) == ("a", "b", "c", "d")
    assert Participation(FOUR).wanted == 4


def test_a_sample_depends_on_seed_and_round_alone():
    rule = Participation(FOUR, fraction=0.5, seed=3)
    samples = {rule.sample(number) for number in range(1, 40)}
    assert rule.sample(2) == Participation(FOUR, fraction=0.5, seed=3).sample(2)
    assert {len(sample) for sample in samples} == {2}
    assert len(samples) == 6  # every pair comes up
    assert any(rule.sample(n) != Participation(FOUR, fraction=0.5, seed=4).sample(n) for n in range(1, 10))


def test_every_domain_gives_its_share():
    rule = Participation(MIXED, fraction=0.5)
    assert rule.wanted == 2 + 1 + 1
    for number in range(1, 20):
        held = [MIXED[site] for site in rule.sample(number)]
        assert sorted(held) == ["code", "finance", "finance", "medical"]


def test_over_sampling_asks_more_and_wants_no_more():
    rule = Participation(FOUR, fraction=0.5, over_sampling=1)
    assert (rule.wanted, len(rule.sample(1))) == (2, 3)
    assert not rule.enough({"a"})
    assert rule.enough({"a", "b"})
    assert len(Participation(FOUR, over_sampling=9).sample(1)) == 4


def test_the_minimum_is_sampled_at_least():
    rule = Participation(FOUR, fraction=0.1, minimum=3)
    assert len(rule.sample(1)) == rule.wanted == 3
    assert rule.shortage({"a", "b"}) == "it has 2 update(s), the rule asks for 3"
    assert rule.shortage({"a", "b", "d"}) == ""


def test_a_required_domain_must_be_there():
    rule = Participation(MIXED, required=("code", "medical"))
    assert rule.shortage({"a", "d"}) == "it has no update of the required domain(s) code"
    assert rule.shortage({"d", "e"}) == ""
    assert not Participation(MIXED, fraction=0.3, required=("code",)).enough({"a", "b", "c"})
    assert Participation(MIXED, minimum=2, required=("code",)).shortage(set()) == (
        "it has 0 update(s), the rule asks for 2 and it has no update of the required domain(s) code"
    )


@pytest.mark.parametrize("number", [1, 2])
@given(
    domains=st.lists(st.sampled_from(["finance", "medical", "code"]), min_size=1, max_size=12),
    fraction=st.floats(0.01, 1.0),
    over=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_samples_are_what_the_rule_says(number, domains, fraction, over, seed):
    held = {f"site-{index}": domain for index, domain in enumerate(domains)}
    rule = Participation(held, fraction=fraction, over_sampling=over, seed=seed)
    sample = rule.sample(number)
    assert len(sample) == min(rule.wanted + over, len(held))
    assert list(sample) == [site for site in held if site in sample]
    assert {held[site] for site in sample} == set(domains)

import dataclasses

import pytest

from fedlora.errors import ConfigurationError
from fedlora.recipes import Recipe


def test_the_rate_falls_on_a_cosine_from_the_first_to_the_floor():
    recipe = Recipe("code", rounds=4, learning_rate=1e-3, final_learning_rate=1e-4)
    # 1e-4 + 4.5e-4 * (1 + cos(pi k / 4)) for k = 0 .. 3
    assert [recipe.learning_rate_in(n) for n in (1, 2, 3, 4)] == pytest.approx(
        [1e-3, 8.68198e-4, 5.5e-4, 2.31802e-4], rel=1e-5
    )


def test_every_value_changes_the_hash():
    recipe = Recipe("code")
    changed = {"domain": "medical", "dropout": 0.1, "target_modules": ("q_proj",), "final_learning_rate": 5e-4}
    for field in dataclasses.fields(Recipe):
        value = getattr(recipe, field.name)
        other = dataclasses.replace(recipe, **{field.name: changed.get(field.name, value * 2)})
        assert other.sha256 != recipe.sha256, field.name
    assert Recipe("code").sha256 == recipe.sha256


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rank": 0}, "rank: 0 is not a whole number of at least 1"),
        ({"final_learning_rate": 1.0}, "final-learning-rate 1.0 is above learning-rate 0.001"),
        ({"dropout": 1.0}, "dropout: 1.0 is not a number from 0 to below 1"),
        ({"target_modules": ()}, r"target-modules: \(\) is not a list of at least one"),
    ],
)
def test_a_value_that_cannot_be_trained_with_is_named(change, reason):
    with pytest.raises(ConfigurationError, match=reason):
        Recipe("code", **change)


def test_an_unknown_domain_is_named():
    with pytest.raises(ConfigurationError, match="domain: 'law' is not one of general-nlp, finance, medical, code"):
        Recipe("law")

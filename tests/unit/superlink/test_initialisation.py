import dataclasses

import numpy as np
import pytest
from forged_payloads import forged

from fedlora.errors import SpecMismatchError, WireError
from fedlora.wire import TensorSpec, encode
from superlink.initialisation import initial_adapter, read_magnitudes
from tests.integration.stub_trainer import spec


def test_a_is_uniform_within_one_over_root_inputs_and_b_is_zero():
    made = spec(rank=16, width=1024)
    for name, values in made.views(initial_adapter(made, seed=3)):
        if "lora_B" in name:
            assert not values.any()
        else:
            bound = 1 / 32
            assert np.abs(values).max() <= bound
            assert np.abs(values).max() > 0.99 * bound
            assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)


def test_the_seed_decides_and_every_tensor_differs():
    made = spec()
    first = initial_adapter(made, seed=3)
    assert first.tobytes() == initial_adapter(made, seed=3).tobytes()
    assert first.tobytes() != initial_adapter(made, seed=4).tobytes()
    factors = [values.tobytes() for name, values in made.views(first) if "lora_A" in name]
    assert len(set(factors)) == 3


def test_a_tensor_of_another_kind_is_refused_by_name():
    other = dataclasses.replace(spec(), tensors=(TensorSpec("x.lora_magnitude_vector.weight", (8,)),))
    with pytest.raises(SpecMismatchError, match=r"tensor x.lora_magnitude_vector.weight is neither a LoRA A nor"):
        initial_adapter(other, seed=0)


def test_magnitudes_are_those_that_a_site_has_told_and_the_rest_is_as_ever():
    made = spec(adapter="dora")
    part = made.magnitudes
    told = np.linspace(1, 2, part.size, dtype=np.float32)
    payload = encode(told, part, kind="magnitudes", run="", epoch=0, round_number=0)
    found = dict(made.views(initial_adapter(made, 3, read_magnitudes(payload, made))))
    names = [name for name in found if name.endswith("lora_magnitude_vector")]
    assert len(names) == 3
    assert np.concatenate([found[name] for name in names]).tobytes() == told.tobytes()
    assert not any(found[name].any() for name in found if "lora_B" in name)
    assert all(found[name].any() for name in found if "lora_A" in name)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda told, part: None, "the site has not told them"),
        (lambda told, part: message(told * 0, part), "the smallest magnitude is 0.0; each must be above 0"),
        (lambda told, part: forged(message(told, part), (told * np.inf).tobytes()), "is inf, not a finite number"),
        (lambda told, part: message(told, dataclasses.replace(part, alpha=9)), "header field spec_sha256"),
        (lambda told, part: message(told, part, kind="update"), "header field kind is 'update'"),
    ],
)
def test_magnitudes_that_cannot_be_are_refused(spoil, reason):
    made = spec(adapter="dora")
    told = np.ones(made.magnitudes.size, dtype=np.float32)
    with pytest.raises(WireError, match=reason):
        read_magnitudes(spoil(told, made.magnitudes), made)


def message(told, part, kind="magnitudes"):
    return encode(told, part, kind=kind, run="", epoch=0, round_number=0)

import dataclasses

import numpy as np
import pytest

from fedlora.errors import SpecMismatchError
from fedlora.wire import TensorSpec
from superlink.initialisation import initial_adapter
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

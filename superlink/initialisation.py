"""The adapter of round 1, made by the coordinator from the spec and a seed: no base model needed."""

import math

import numpy as np

from fedlora.errors import SpecMismatchError
from fedlora.wire import AdapterSpec
from fedlora.wire.spec import Vector

__all__ = ["initial_adapter"]


def initial_adapter(spec: AdapterSpec, seed: int) -> Vector:
    """Return A uniform and B zero, so that the adapted model starts as the base model (Hu et al. 2021, section 4.1).

    A of shape (rank, inputs) is uniform in plus or minus ``1 / sqrt(inputs)``, which is PEFT's default (Kaiming uniform
    with ``a = sqrt(5)``).

    Raises
    ------
    SpecMismatchError
        If a tensor is neither an A nor a B.
    """
    vector: Vector = np.zeros(spec.size, dtype=np.float32)
    for index, (name, values) in enumerate(spec.views(vector)):
        if ".lora_A." in name and values.ndim == 2:
            bound = 1 / math.sqrt(values.shape[1])
            values[:] = np.random.default_rng([seed, index]).uniform(-bound, bound, values.shape)
        elif ".lora_B." not in name:
            raise SpecMismatchError(f"tensor {name} is neither a LoRA A nor a LoRA B; it has no known beginning")
    return vector

"""The adapter of round 1, made by the coordinator from the spec and a seed: no base model needed.

Only DoRA's magnitudes begin as the weights of the base model say, and those a site tells.
"""

import math

import numpy as np

from fedlora.errors import SpecMismatchError, WireError
from fedlora.wire import AdapterSpec, Payload, check, decode
from fedlora.wire.spec import MAGNITUDE, Vector

__all__ = ["initial_adapter", "read_magnitudes"]


def initial_adapter(spec: AdapterSpec, seed: int, magnitudes: Vector | None = None) -> Vector:
    """Return A uniform and B zero, so that the adapted model starts as the base model (Hu et al. 2021, section 4.1).

    A of shape (rank, inputs) is uniform in plus or minus ``1 / sqrt(inputs)``, which is PEFT's default (Kaiming uniform
    with ``a = sqrt(5)``).

    Parameters
    ----------
    spec : AdapterSpec
        What is made.
    seed : int
        Decides the values of A.
    magnitudes : Vector, optional
        Values of ``spec.magnitudes``, as a site has told them: the norms of the weights' rows (Liu et al. 2024,
        section 4.1), with which the adapted model starts as the base model.

    Raises
    ------
    SpecMismatchError
        If a tensor is neither an A nor a B nor a magnitude, or there are magnitudes that nobody has told.
    """
    vector: Vector = np.zeros(spec.size, dtype=np.float32)
    told: dict[str, Vector] = {}
    if spec.magnitudes is not None and magnitudes is not None:
        told = dict(spec.magnitudes.views(magnitudes))
    for index, (name, values) in enumerate(spec.views(vector)):
        if ".lora_A." in name and values.ndim == 2:
            bound = 1 / math.sqrt(values.shape[1])
            values[:] = np.random.default_rng([seed, index]).uniform(-bound, bound, values.shape)
        elif name in told:
            values[:] = told[name]
        elif name.endswith(MAGNITUDE):
            raise SpecMismatchError(f"tensor {name} begins as the base model's weights say, and no site has said it")
        elif ".lora_B." not in name:
            raise SpecMismatchError(f"tensor {name} is neither a LoRA A nor a LoRA B; it has no known beginning")
    return vector


def read_magnitudes(payload: Payload | None, spec: AdapterSpec) -> Vector | None:
    """Return the values of ``spec.magnitudes`` that a site has told with its spec; None where the spec has none.

    Raises
    ------
    WireError
        If they are missing, do not fit, or one of them is no length: finite and above zero.
    """
    if spec.magnitudes is None:
        return None
    if payload is None:
        raise WireError("a DoRA adapter begins with the base model's magnitudes, and the site has not told them")
    check(payload.header, kind="magnitudes")
    vector = decode(payload, spec.magnitudes)
    if not (vector > 0).all():
        raise WireError(f"the smallest magnitude is {vector.min()}; each must be above 0")
    return vector

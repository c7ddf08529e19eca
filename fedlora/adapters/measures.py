"""How large an adapter is, and how far two are from each other, module by module.

What counts is what an adapter does to a weight, ``scale * b @ a``: factors alone can grow and shrink against each
other. That product is as large as the weight itself and is never formed: its norms and products follow from matrices
of rank by rank (Gram matrices), in fp64. Of DoRA adapters it is what they do to the weights' directions: what the
magnitudes then do depends on the base model.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedlora.adapters.folder import WEIGHTS, Adapter, Factors
from fedlora.errors import AdapterError

__all__ = ["Comparison", "Norms", "compare", "measure", "total", "total_norms"]

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Norms:
    """Euclidean (Frobenius) norms of one module's factors, and of the change that they make to its weight."""

    module: str
    kind: str
    rank: int
    a: float
    b: float
    delta: float


@dataclass(frozen=True)
class Comparison:
    """Two adapters on one module, or on several together.

    Attributes
    ----------
    module, kind : str
        Which.
    first, second, between : float
        Squared norms of both changes of the weight, and of the difference.
    product : float
        Inner product of both.
    """

    module: str
    kind: str
    first: float
    second: float
    between: float
    product: float

    @property
    def relative_distance(self) -> float | None:
        """Norm of the difference over the first one's norm; None where only the second changes anything."""
        if not self.between:
            return 0.0
        return math.sqrt(self.between / self.first) if self.first else None

    @property
    def cosine(self) -> float | None:
        """Cosine of the angle between both; None where one of them changes nothing."""
        if not self.first or not self.second:
            return None
        return max(-1.0, min(1.0, self.product / math.sqrt(self.first) / math.sqrt(self.second)))


def measure(adapter: Adapter) -> list[Norms]:
    """Return the norms of every module."""
    return [_norms(one) for one in adapter.factors]


def total_norms(rows: Iterable[Norms], module: str) -> Norms:
    """Return the norms of several modules taken as one vector."""
    listed = list(rows)
    a, b, delta = (math.sqrt(sum(getattr(row, part) ** 2 for row in listed)) for part in ("a", "b", "delta"))
    return Norms(module, module, max(row.rank for row in listed), a, b, delta)


def compare(first: Adapter, second: Adapter) -> list[Comparison]:
    """Return how far two adapters are from each other, module by module.

    Raises
    ------
    AdapterError
        If they are not made for the same base model, or not of the same shape; names the first difference.
    """
    difference = _difference(first, second)
    if difference:
        raise AdapterError(f"{first.directory} and {second.directory} cannot be compared: {difference}")
    return [_compare(one, other) for one, other in zip(first.factors, second.factors, strict=True)]


def total(rows: Iterable[Comparison], module: str) -> Comparison:
    """Return the comparison of several modules taken as one vector."""
    listed = list(rows)
    sums = (sum(getattr(row, part) for row in listed) for part in ("first", "second", "between", "product"))
    return Comparison(module, module, *sums)


def _norms(one: Factors) -> Norms:
    a, b = one.a.astype(np.float64), one.b.astype(np.float64)
    delta = one.scale * math.sqrt(max(0.0, _product(b, a, b, a)))
    return Norms(one.module, one.kind, len(a), float(np.linalg.norm(a)), float(np.linalg.norm(b)), delta)


def _compare(one: Factors, other: Factors) -> Comparison:
    a, b = one.a.astype(np.float64), one.b.astype(np.float64)
    c, d = other.a.astype(np.float64), other.b.astype(np.float64)
    # ba - dc = (b - d)a + d(a - c): differences are formed before anything is squared, so equal adapters are at 0.
    left, right = np.hstack([b - d, d]), np.vstack([a, a - c])
    scale = one.scale**2
    return Comparison(
        module=one.module,
        kind=one.kind,
        first=scale * max(0.0, _product(b, a, b, a)),
        second=scale * max(0.0, _product(d, c, d, c)),
        between=scale * max(0.0, _product(left, right, left, right)),
        product=scale * _product(b, a, d, c),
    )


def _product(b: Matrix, a: Matrix, d: Matrix, c: Matrix) -> float:
    """Return the inner product of ``b @ a`` and ``d @ c``, from matrices no larger than rank by rank."""
    return float(np.sum((b.T @ d) * (a @ c.T)))


def _difference(first: Adapter, second: Adapter) -> str:
    """Say in a few words what forbids a comparison; empty if nothing does."""
    hashes = [adapter.spec.base_model_sha256 if adapter.spec else "" for adapter in (first, second)]
    if all(hashes):
        if hashes[0] != hashes[1]:
            return f"base model {hashes[0][:12]} against {hashes[1][:12]} (SHA-256)"
    elif first.base_model != second.base_model:
        return f"base model {first.base_model} against {second.base_model}"
    for name, one, other in (
        ("kind", first.kind, second.kind),
        ("rank", first.rank, second.rank),
        ("alpha", first.alpha, second.alpha),
        ("target modules", ", ".join(first.target_modules), ", ".join(second.target_modules)),
    ):
        if one != other:
            return f"{name} {one} against {other}"
    shapes = [{name: tensor.shape for name, tensor in adapter.tensors.items()} for adapter in (first, second)]
    different = sorted(
        name for name in shapes[0].keys() | shapes[1].keys() if shapes[0].get(name) != shapes[1].get(name)
    )
    if different:
        return f"{len(different)} tensors differ in {WEIGHTS}, the first is {different[0]}"
    scales = [tuple(one.scale for one in adapter.factors) for adapter in (first, second)]
    return "" if scales[0] == scales[1] else "scale of a module (alpha_pattern)"

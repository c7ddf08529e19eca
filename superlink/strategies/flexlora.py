"""FlexLoRA."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from fedlora.wire import AdapterSpec
from fedlora.wire.spec import Vector
from superlink.strategies.stack import Stack
from superlink.strategies.strategy import Strategy

__all__ = ["FlexLoRA", "mean_product"]

Matrix = npt.NDArray[np.float64]


class FlexLoRA(Strategy[Stack]):
    """The sites' mean product, brought back to the rank (Bai et al. 2024, arXiv 2402.11505, section 3)."""

    def begin(self, size: int, positions: int) -> Stack:
        """Return where the updates are held."""
        return Stack(size, positions)

    def merge(self, adapter: Vector, updates: Stack, part: AdapterSpec) -> Vector:
        """Return the factors, module by module, of the nearest product of the rank to the mean one."""
        updates.check_settled()
        merged: Vector = np.empty_like(adapter)
        new = dict(part.views(merged))
        before = dict(part.views(adapter))
        changes = [dict(part.views(vector)) for vector in updates.vectors]
        for a, b in _modules(part):
            factors = [tuple(before[name].astype(np.float64) + change[name] for name in (b, a)) for change in changes]
            new[b][:], new[a][:] = mean_product(updates.shares, factors, before[a].shape[0])
        return merged


def mean_product(
    shares: Sequence[float] | Matrix, factors: Sequence[tuple[Matrix, ...]], rank: int
) -> tuple[Matrix, Matrix]:
    """Return B and A of the product of `rank` that is nearest to the mean of products (Eckart and Young 1936).

    The mean is [s_1 B_1 ... s_N B_N] [A_1; ...; A_N]. Of both stacks the QR decomposition is taken, and of the small
    product of the triangles the singular values: neither the mean nor anything of its size is ever formed.

    Parameters
    ----------
    shares : sequence of float
        Weights s_i, which add up to one.
    factors : sequence of (B_i, A_i)
        Of shape (outputs, rank_i) and (rank_i, inputs).
    rank : int
        The rank to return.

    Returns
    -------
    B : Matrix
        Left singular vectors times singular values, largest first, of shape (outputs, rank).
    A : Matrix
        Right singular vectors, of shape (rank, inputs).
    """
    left, left_triangle = np.linalg.qr(np.hstack([share * b for share, (b, _) in zip(shares, factors, strict=True)]))
    right, right_triangle = np.linalg.qr(np.vstack([a for _, a in factors]).T)
    u, sizes, v = np.linalg.svd(left_triangle @ right_triangle.T, full_matrices=False)
    kept = min(rank, len(sizes))  # fewer than the rank where a module is smaller than it
    b, a = np.zeros((left.shape[0], rank)), np.zeros((rank, right.shape[0]))
    b[:, :kept] = (left @ u[:, :kept]) * sizes[:kept]
    a[:kept] = v[:kept] @ right.T
    return b, a


def _modules(part: AdapterSpec) -> Iterator[tuple[str, str]]:
    """Yield the names of A and B of each module."""
    for tensor in part.tensors:
        if ".lora_A." in tensor.name:
            yield tensor.name, tensor.name.replace(".lora_A.", ".lora_B.")

"""What a lossy codec leaves out of an update is added to the next one (Seide et al. 2014; Karimireddy et al. 2019).

So over the rounds everything that was trained arrives, if later. Without it, a change that is below half of a codec's
step is lost in each round anew, and what errs to one side goes on doing so (arXiv 1901.09847).
"""

import numpy as np

from fedlora.errors import TrainerError
from fedlora.wire.spec import Vector

__all__ = ["Residue"]


class Residue:
    """What earlier updates of a run still owe.

    Parameters
    ----------
    kept : bytes or None
        The residue after the last update that was counted, as `after` has returned it; None for nothing.
    size : int
        Number of values.

    Raises
    ------
    TrainerError
        If `kept` is of another size.
    """

    def __init__(self, kept: bytes | None, size: int) -> None:
        self.values: Vector = np.zeros(size, dtype="<f4") if kept is None else np.frombuffer(kept, dtype="<f4")
        if self.values.size != size:
            raise TrainerError(f"the residue on the disk has {self.values.size} values, and the adapter {size}")

    def added_to(self, delta: Vector) -> Vector:
        """Return `delta`, of shape (size,), with the residue; what was not trained in this round waits for its turn.

        A zero says that: of a factor that is frozen in this round, or of ranks beyond the site's. Every codec sends it
        as zero.
        """
        return np.where(delta == 0, np.float32(0), delta + self.values)

    def after(self, delta: Vector, sent: Vector) -> bytes:
        """Return the residue after `delta` was sent, and arrived as `sent`."""
        return (delta + self.values - sent).astype("<f4").tobytes()

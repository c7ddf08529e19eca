"""What a codec is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fedlora.wire.spec import Vector

__all__ = ["Bytes", "Codec", "Words", "chunks"]

Bytes = npt.NDArray[np.uint8]
CHUNK = 2**16  # values that are worked on at once: what lies in between stays in a core's own cache


class Words(NamedTuple):
    """A run of equal words in the bytes of a codec: little-endian floating-point numbers, or single bytes."""

    number: int
    width: int

    @property
    def bytes(self) -> int:
        """Length of the run."""
        return self.number * self.width


class Codec(ABC):
    """Turns a vector of values into bytes and back, in numpy alone.

    Attributes
    ----------
    name : str
        As it stands in headers, in a federation's file and in labels of metrics.
    lossless : bool
        Whether the very values come back.
    bounded : bool
        Whether the number of bytes depends on the values, and `most_bytes` is an upper bound of it.
    largest : float
        Magnitude above which a value cannot be carried.
    """

    name: str
    lossless: bool = False
    bounded: bool = False
    largest: float = float(np.finfo(np.float32).max)

    @abstractmethod
    def layout(self, values: int) -> tuple[Words, ...]:
        """Return what the bytes of so many values consist of."""

    def most_bytes(self, values: int) -> int:
        """Return how many bytes so many values take, at most."""
        return sum(words.bytes for words in self.layout(values))

    @abstractmethod
    def encode(self, vector: Vector) -> Bytes:
        """Return the bytes of `vector`, finite values of shape (values,) of which none is above `largest`."""

    @abstractmethod
    def decode(self, data: Bytes, values: int) -> Vector:
        """Return the vector of shape (values,) that `data` stand for; of plain codecs, as many bytes as they take.

        Whatever the bytes are, the result is a vector, though perhaps not of finite values, or a WireError.

        Raises
        ------
        WireError
            If the bytes of a codec that says how it is cut are not cut so.
        """


def chunks(size: int) -> Iterator[slice]:
    """Yield the parts of a vector of `size` values that are worked on one after the other."""
    return (slice(start, min(start + CHUNK, size)) for start in range(0, size, CHUNK))

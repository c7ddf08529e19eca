"""Whole numbers of few bits with a scale for each block of values (Dettmers et al. 2022, arXiv 2110.02861)."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fedlora.wire.codecs.codec import Bytes, Codec, Words, chunks
from fedlora.wire.spec import Vector

__all__ = ["Blockwise"]

Number = TypeVar("Number", np.int8, np.float32)


class Blockwise(Codec):
    """Each value as a multiple of its block's scale, rounded to nearest; zero stays zero.

    All multiples come first, then all scales: the largest magnitude of a block divided by the largest multiple, in
    bf16 and rounded up, so that no value is beyond the largest multiple, and as small as a value of fp32 may be.

    Parameters
    ----------
    name : str
        Of the codec.
    bits : int
        Of a multiple: 8, or 4 with two multiples in a byte, the first in its lower half.
    block : int
        Values that share a scale, a divisor of CHUNK. Blocks run through the vector, whichever tensor a value is of.
    """

    largest = 3e38  # above it, a scale that was rounded up could be carried beyond what fp32 holds

    def __init__(self, name: str, *, bits: int, block: int) -> None:
        self.name = name
        self.bits = bits
        self.block = block
        self.most = 2 ** (bits - 1) - 1

    def layout(self, values: int) -> tuple[Words, ...]:
        """Return all multiples, then a scale for each block."""
        return Words(-(-values * self.bits // 8), 1), Words(-(-values // self.block), 2)

    def encode(self, vector: Vector) -> Bytes:
        """Return multiples and scales."""
        data = np.empty(self.most_bytes(vector.size), dtype=np.uint8)
        packed, scales = self._parts(data, vector.size)
        for part in chunks(vector.size):
            rows = self._rows(vector[part])
            scale = _up(np.maximum(rows.max(axis=1), -rows.min(axis=1)) / np.float32(self.most))
            scales[self._blocks(part)] = scale
            step = _wide(scale)
            multiples = rows / np.where(step > 0, step, np.float32(1))[:, None]
            np.rint(multiples, out=multiples)
            own = packed[self._packed(part)]
            own[:] = self._pack(multiples.astype(np.int8).ravel())[: own.size]
        return data

    def decode(self, data: Bytes, values: int) -> Vector:
        """Return each multiple times its block's scale."""
        packed, scales = self._parts(data, values)
        vector = np.empty(values, dtype=np.float32)
        with np.errstate(invalid="ignore", over="ignore"):  # a scale may be anything here
            for part in chunks(values):
                rows = self._rows(self._unpack(packed[self._packed(part)]))
                vector[part] = (rows * _wide(scales[self._blocks(part)])[:, None]).ravel()[: part.stop - part.start]
        return vector

    def _parts(self, data: Bytes, values: int) -> tuple[Bytes, npt.NDArray[np.uint16]]:
        end = self.layout(values)[0].bytes
        scales = data[end:]  # may begin at an odd address
        return data[:end], scales.view("<u2")

    def _rows(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Return `values` as one row a block, with as many zeros behind them as the last block lacks."""
        lacks = -values.size % self.block
        filled = np.concatenate([values, np.zeros(lacks, dtype=values.dtype)]) if lacks else values
        return filled.reshape(-1, self.block)

    def _blocks(self, part: slice) -> slice:
        return slice(part.start // self.block, -(-part.stop // self.block))

    def _packed(self, part: slice) -> slice:
        return slice(part.start * self.bits // 8, -(-part.stop * self.bits // 8))

    def _pack(self, multiples: npt.NDArray[np.int8]) -> Bytes:
        whole = multiples.view(np.uint8)
        if self.bits == 8:
            return whole
        packed: Bytes = (whole[0::2] & np.uint8(0x0F)) | (whole[1::2] << np.uint8(4))
        return packed

    def _unpack(self, packed: Bytes) -> npt.NDArray[np.int8]:
        if self.bits == 8:
            return packed.view(np.int8)
        pairs = np.empty((packed.size, 2), dtype=np.int8)
        np.right_shift((packed << 4).view(np.int8), 4, out=pairs[:, 0])
        np.right_shift(packed.view(np.int8), 4, out=pairs[:, 1])
        return pairs.ravel()


def _up(values: Vector) -> npt.NDArray[np.uint16]:
    """Return values of at least 0 in bf16, rounded up."""
    return ((values.view(np.uint32) + np.uint32(0xFFFF)) >> 16).astype(np.uint16)


def _wide(halves: npt.NDArray[np.uint16]) -> Vector:
    """Return values in bf16 as fp32."""
    return (halves.astype(np.uint32) << 16).view(np.float32)

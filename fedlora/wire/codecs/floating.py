"""Floating-point numbers, each for itself: fp32, and two of half its width."""

import numpy as np

from fedlora.wire.codecs.codec import Bytes, Codec, Words, chunks
from fedlora.wire.spec import Vector

__all__ = ["BFloat16", "Float16", "Float32"]


class Float32(Codec):
    """The values as they are."""

    name = "fp32"
    lossless = True

    def layout(self, values: int) -> tuple[Words, ...]:
        """Return one word a value."""
        return (Words(values, 4),)

    def encode(self, vector: Vector) -> Bytes:
        """Return the values' own bytes."""
        return np.ascontiguousarray(vector, dtype="<f4").view(np.uint8)

    def decode(self, data: Bytes, values: int) -> Vector:
        """Return the bytes as values; they share memory."""
        return data.view("<f4")[:values]


class Float16(Codec):
    """IEEE's half precision, rounded to nearest: 11 bits of a value from 6e-5 up, fewer below, none below 3e-8."""

    name = "fp16"
    largest = 65504.0

    def layout(self, values: int) -> tuple[Words, ...]:
        """Return one word a value."""
        return (Words(values, 2),)

    def encode(self, vector: Vector) -> Bytes:
        """Return each value rounded to nearest."""
        return vector.astype("<f2").view(np.uint8)

    def decode(self, data: Bytes, values: int) -> Vector:
        """Return the halves widened."""
        return data.view("<f2")[:values].astype(np.float32)


class BFloat16(Codec):
    """The upper half of each fp32, rounded to nearest, ties to even: 8 bits of a value, whatever its size."""

    name = "bf16"
    largest = float(np.array([0x7F7F0000], dtype=np.uint32).view(np.float32)[0])

    def layout(self, values: int) -> tuple[Words, ...]:
        """Return one word a value."""
        return (Words(values, 2),)

    def encode(self, vector: Vector) -> Bytes:
        """Return the upper half of each value, rounded to nearest."""
        bits, upper = np.ascontiguousarray(vector, dtype=np.float32).view(np.uint32), np.empty(vector.size, dtype="<u2")
        for part in chunks(vector.size):
            odd = (bits[part] >> 16) & 1
            upper[part] = (bits[part] + (odd + np.uint32(0x7FFF))) >> 16
        return upper.view(np.uint8)

    def decode(self, data: Bytes, values: int) -> Vector:
        """Return the halves with zeros below them."""
        upper, bits = data.view("<u2"), np.empty(values, dtype=np.uint32)
        for part in chunks(values):
            np.left_shift(upper[part], 16, out=bits[part], dtype=np.uint32)
        return bits.view(np.float32)

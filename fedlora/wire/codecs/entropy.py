"""Entropy coding: the bytes of another codec, without loss, in fewer."""

import zlib
from collections.abc import Iterator

import numpy as np

from fedlora.errors import WireError
from fedlora.wire.codecs.codec import Bytes, Codec, Words
from fedlora.wire.spec import Vector

__all__ = ["EntropyCoded"]

SAMPLE = 2**16  # bytes by which a plane is judged
MOST_ENTROPY = 7.9  # bits of a byte from which a plane is not worth the time
MEMORY_LEVEL = 9  # of 9: tables for 32,768 bytes each
LENGTH = np.dtype("<u8")


class EntropyCoded(Codec):
    """Planes of another codec's bytes, each as DEFLATE where that makes it shorter.

    A plane holds the bytes of one place of all words of a run. Before that, each word is turned left by a bit, which
    takes the sign to its other end: then the exponents of bf16 and fp32 are a plane of their own. Of an update's values
    they carry about 2.5 bits out of 8, and the rest of a word is noise. The lengths of all planes come first; a plane
    of full length stands as it is. DEFLATE has Huffman's codes and, for the zeros of what was not trained, runs of one
    byte; its search for longer repeats finds none in values and takes most of its time.

    Parameters
    ----------
    plain : Codec
        The other codec.
    """

    bounded = True

    def __init__(self, plain: Codec) -> None:
        self.plain = plain
        self.name = f"{plain.name}z"
        self.lossless = plain.lossless
        self.largest = plain.largest

    def layout(self, values: int) -> tuple[Words, ...]:
        """Return what the bytes consist of at most."""
        runs = self.plain.layout(values)
        return (Words(sum(words.width for words in runs), LENGTH.itemsize), *runs)

    def encode(self, vector: Vector) -> Bytes:
        """Return the lengths of all planes, then the planes."""
        planes = _planes(self.plain.encode(vector), self.plain.layout(vector.size))
        coded = [_deflated(plane) for plane in planes]
        lengths = np.array([part.size for part in coded], dtype=LENGTH)
        return np.concatenate([lengths.view(np.uint8), *coded])

    def decode(self, data: Bytes, values: int) -> Vector:
        """Return what the planes of `data` stand for."""
        layout = self.plain.layout(values)
        sizes = [words.number for words in layout for _ in range(words.width)]
        head = len(sizes) * LENGTH.itemsize
        lengths = [int(length) for length in data[:head].view(LENGTH)] if data.size >= head else []
        if head + sum(lengths) != data.size:
            raise WireError(
                f"{data.size} bytes of {self.name} are said to hold {head} of lengths and planes of {lengths}"
            )
        parts, start = [], head
        for length, size in zip(lengths, sizes, strict=True):
            parts.append(_inflated(data[start : start + length], size))
            start += length
        return self.plain.decode(_joined(parts, layout), values)


def _planes(data: Bytes, layout: tuple[Words, ...]) -> Iterator[Bytes]:
    """Yield the planes of plain bytes, run by run, a word's last byte first: after the turn, the one with exponents."""
    start = 0
    for words in layout:
        run = data[start : start + words.bytes]
        start += words.bytes
        if words.width > 1:
            whole = run.view(f"<u{words.width}")
            run = ((whole << 1) | (whole >> (8 * words.width - 1))).view(np.uint8)
        for place in reversed(range(words.width)):
            yield np.ascontiguousarray(run[place :: words.width])


def _joined(planes: list[Bytes], layout: tuple[Words, ...]) -> Bytes:
    """Return the plain bytes that `_planes` has taken apart."""
    data, start, left = np.empty(sum(words.bytes for words in layout), dtype=np.uint8), 0, iter(planes)
    for words in layout:
        run = np.empty(words.bytes, dtype=np.uint8)
        for place in reversed(range(words.width)):
            run[place :: words.width] = next(left)
        if words.width > 1:
            whole = run.view(f"<u{words.width}")
            run = ((whole >> 1) | (whole << (8 * words.width - 1))).view(np.uint8)
        data[start : start + words.bytes] = run
        start += words.bytes
    return data


def _deflated(plane: Bytes) -> Bytes:
    """Return a plane as DEFLATE (RFC 1951), or itself if that would not be shorter."""
    sample = plane[:: max(1, plane.size // SAMPLE)]
    counts = np.bincount(sample, minlength=256) / sample.size
    if -(counts * np.log2(counts, where=counts > 0, out=np.zeros(256))).sum() > MOST_ENTROPY:
        return plane
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, MEMORY_LEVEL, zlib.Z_RLE)
    coded = deflate.compress(plane.data) + deflate.flush()
    return np.frombuffer(coded, dtype=np.uint8) if len(coded) < plane.size else plane


def _inflated(coded: Bytes, size: int) -> Bytes:
    """Return the plane of `size` bytes that was coded; never more is made of it, whatever it would grow to.

    Raises
    ------
    WireError
        If it is no DEFLATE, or not of so many bytes.
    """
    if coded.size == size:
        return coded
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plane = inflate.decompress(coded.data, size)
        more = inflate.decompress(inflate.unconsumed_tail, 1)
    except zlib.error as error:
        raise WireError(f"a plane of {size} bytes cannot be inflated: {error}") from error
    if len(plane) != size or more or not inflate.eof or inflate.unused_data:
        raise WireError(f"a plane that was coded as {coded.size} bytes does not hold just {size}")
    return np.frombuffer(plane, dtype=np.uint8)

"""Values of an adapter as flat blocks of bytes.

One message carries one adapter. Its tensors are not sent one by one: each would become objects of its own in Flower,
and 120 small tensors cost 244 objects and a call for each. All values travel as one vector, which a codec turns into
bytes; they are cut into blocks of a few MiB.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import fedlora
from fedlora.errors import WireError
from fedlora.wire.codecs import Codec, codec_named
from fedlora.wire.codecs.codec import Bytes
from fedlora.wire.header import WIRE_VERSION, Header, check
from fedlora.wire.spec import AdapterSpec, Vector

__all__ = ["BLOCK_BYTES", "Payload", "decode", "encode", "largest_message"]

BLOCK_BYTES = 4 * 2**20  # below Flower's 5 MiB, so that a block is one object and not two


@dataclass(frozen=True)
class Payload:
    """A header and the blocks it announces."""

    header: Header
    blocks: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes of header and blocks together."""
        return len(self.header.to_json()) + sum(map(len, self.blocks))


def encode(
    vector: Vector,
    spec: AdapterSpec,
    *,
    kind: str,
    run: str,
    epoch: int,
    round_number: int,
    examples: int = 0,
    codec: str = "fp32",
) -> Payload:
    """Turn `vector`, ``spec.size`` values in the spec's order, into a message.

    Raises
    ------
    WireError
        If the vector is not of the spec's size, the codec is unknown, or a value is NaN, infinite or beyond what the
        codec holds. Nothing is cut off at the largest it holds: values of that size are no update, and the mean would
        be wrong with nobody told.
    """
    chosen = codec_named(codec)
    if vector.shape != (spec.size,):
        raise WireError(f"vector has the shape {vector.shape}; its spec has {spec.size} values")
    _check_values(vector, spec, chosen)
    data = chosen.encode(vector)
    blocks = tuple(data[start : start + BLOCK_BYTES].tobytes() for start in range(0, data.size, BLOCK_BYTES))
    header = _header(spec, kind, run, epoch, round_number, examples, chosen, data.size, _digest(blocks))
    return Payload(header, blocks)


def decode(payload: Payload, spec: AdapterSpec, codec: str = "fp32") -> Vector:
    """Turn a message back into a vector of ``spec.size`` values.

    Sizes are compared before anything is allocated, so a message costs no more memory than it announces, and no more
    than the codec takes for as many values as the spec has.

    Parameters
    ----------
    payload : Payload
        The message.
    spec : AdapterSpec
        The adapter that its receiver expects.
    codec : str
        The codec that its receiver expects.

    Raises
    ------
    WireError
        If header, blocks and spec do not agree, the checksum differs, the bytes are not those of the codec, or a value
        is NaN or infinite.
    """
    header, expected = payload.header, codec_named(codec)
    check(
        header,
        wire_version=WIRE_VERSION,
        kit_version=fedlora.__version__,
        spec_sha256=spec.sha256,
        base_model_sha256=spec.base_model_sha256,
        codec=codec,
        dtype="float32",
        values=spec.size,
        block_bytes=BLOCK_BYTES,
    )
    most = expected.most_bytes(spec.size)
    if not expected.bounded:
        check(header, payload_bytes=most)
    elif header.payload_bytes > most:
        raise WireError(f"header field payload_bytes is {header.payload_bytes}; in {codec} this run takes up to {most}")
    vector = expected.decode(_joined(payload), spec.size)
    _check_values(vector, spec, codec_named("fp32"))
    return vector


def largest_message(spec: AdapterSpec, *, run: str, epoch: int, rounds: int, codec: str) -> int:
    """Return the bytes of the largest message of a run in `codec`: of an update of many examples in its last round.

    They are those of every update of as many digits, unless the codec is bounded; then they are its upper bound.
    """
    chosen = codec_named(codec)
    size = chosen.most_bytes(spec.size)
    return size + len(_header(spec, "update", run, epoch, rounds, 10**9, chosen, size, "0" * 64).to_json())


def _header(
    spec: AdapterSpec,
    kind: str,
    run: str,
    epoch: int,
    round_number: int,
    examples: int,
    codec: Codec,
    payload_bytes: int,
    payload_sha256: str,
) -> Header:
    return Header(
        wire_version=WIRE_VERSION,
        kit_version=fedlora.__version__,
        kind=kind,
        run=run,
        epoch=epoch,
        round=round_number,
        spec_sha256=spec.sha256,
        base_model_sha256=spec.base_model_sha256,
        codec=codec.name,
        dtype="float32",
        values=spec.size,
        examples=examples,
        block_bytes=BLOCK_BYTES,
        payload_bytes=payload_bytes,
        payload_sha256=payload_sha256,
    )


def _joined(payload: Payload) -> Bytes:
    """Return the bytes of all blocks, once they are as long as announced and their checksum is right."""
    announced, lengths = payload.header.payload_bytes, [len(block) for block in payload.blocks]
    full, rest = divmod(announced, BLOCK_BYTES)
    if lengths != [BLOCK_BYTES] * full + [rest] * (rest > 0):
        raise WireError(f"{len(lengths)} blocks hold {sum(lengths)} bytes; the header announces {announced}")
    if _digest(payload.blocks) != payload.header.payload_sha256:
        raise WireError("checksum differs: the blocks are not those the header was written for")
    data = np.empty(announced, dtype=np.uint8)
    for number, block in enumerate(payload.blocks):
        data.data[number * BLOCK_BYTES : number * BLOCK_BYTES + len(block)] = block
    return data


def _digest(blocks: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _check_values(vector: Vector, spec: AdapterSpec, codec: Codec) -> None:
    """Check that each value is a finite number that `codec` holds."""
    if max(vector.max(), -vector.min()) <= codec.largest:  # of NaN, neither is
        return
    bad = int(np.argmin(np.abs(vector) <= codec.largest))
    name, value = _tensor_at(spec, bad), vector[bad]
    if not np.isfinite(value):
        raise WireError(f"value {bad} of {name} is {value}, not a finite number")
    raise WireError(f"value {bad} of {name} is {value:.6g}; codec {codec.name} holds none beyond {codec.largest:.6g}")


def _tensor_at(spec: AdapterSpec, position: int) -> str:
    for tensor in spec.tensors:
        if position < tensor.size:
            return tensor.name
        position -= tensor.size
    raise AssertionError("a position beyond the spec")

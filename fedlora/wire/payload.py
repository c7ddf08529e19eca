"""Values of an adapter as flat blocks of bytes.

One message carries one adapter. Its tensors are not sent one by one: each would become objects of its own in Flower,
and 120 small tensors cost 244 objects and a call for each. All values travel as one vector, cut into blocks of a few
MiB.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import fedlora
from fedlora.errors import WireError
from fedlora.wire.header import WIRE_VERSION, Header, check
from fedlora.wire.spec import AdapterSpec, Vector

__all__ = ["BLOCK_BYTES", "CODECS", "Payload", "decode", "encode"]

BLOCK_BYTES = 4 * 2**20  # below Flower's 5 MiB, so that a block is one object and not two
CODECS = ("fp32",)


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
        If the vector is not of the spec's size or the codec is unknown.
    """
    if vector.shape != (spec.size,):
        raise WireError(f"vector has the shape {vector.shape}; its spec has {spec.size} values")
    if codec not in CODECS:
        raise WireError(f"codec {codec!r} is not one of {', '.join(CODECS)}")
    flat = np.ascontiguousarray(vector, dtype="<f4").view(np.uint8)
    blocks = tuple(flat[start : start + BLOCK_BYTES].tobytes() for start in range(0, flat.size, BLOCK_BYTES))
    header = Header(
        wire_version=WIRE_VERSION,
        kit_version=fedlora.__version__,
        kind=kind,
        run=run,
        epoch=epoch,
        round=round_number,
        spec_sha256=spec.sha256,
        base_model_sha256=spec.base_model_sha256,
        codec=codec,
        dtype="float32",
        values=spec.size,
        examples=examples,
        block_bytes=BLOCK_BYTES,
        payload_bytes=flat.size,
        payload_sha256=_digest(blocks),
    )
    return Payload(header, blocks)


def decode(payload: Payload, spec: AdapterSpec) -> Vector:
    """Turn a message back into a vector of ``spec.size`` values.

    Sizes are compared before anything is allocated, so a message costs no more memory than it announces and no more
    than its spec has.

    Raises
    ------
    WireError
        If header, blocks and spec do not agree, the checksum differs, or a value is NaN or infinite.
    """
    header = payload.header
    check(
        header,
        wire_version=WIRE_VERSION,
        kit_version=fedlora.__version__,
        spec_sha256=spec.sha256,
        base_model_sha256=spec.base_model_sha256,
        codec="fp32",
        dtype="float32",
        values=spec.size,
        block_bytes=BLOCK_BYTES,
        payload_bytes=4 * spec.size,
    )
    lengths = [len(block) for block in payload.blocks]
    full, rest = divmod(header.payload_bytes, BLOCK_BYTES)
    if lengths != [BLOCK_BYTES] * full + [rest] * (rest > 0):
        raise WireError(f"{len(lengths)} blocks hold {sum(lengths)} bytes; the header announces {header.payload_bytes}")
    if _digest(payload.blocks) != header.payload_sha256:
        raise WireError("checksum differs: the blocks are not those the header was written for")
    vector = np.empty(spec.size, dtype="<f4")
    memory = memoryview(vector.view(np.uint8).data)
    for number, block in enumerate(payload.blocks):
        memory[number * BLOCK_BYTES : number * BLOCK_BYTES + len(block)] = block
    if not np.isfinite(vector).all():
        bad = int(np.argmin(np.isfinite(vector)))
        raise WireError(f"value {bad} of {_tensor_at(spec, bad)} is {vector[bad]}, not a finite number")
    return vector


def _digest(blocks: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _tensor_at(spec: AdapterSpec, position: int) -> str:
    for tensor in spec.tensors:
        if position < tensor.size:
            return tensor.name
        position -= tensor.size
    raise AssertionError("a position beyond the spec")

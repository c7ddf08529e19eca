"""Messages that an honest sender does not write: bytes of the test's choice, with a header that fits them."""

import dataclasses
import hashlib

from fedlora.wire import Payload
from fedlora.wire.payload import BLOCK_BYTES


def forged(payload: Payload, data: bytes, **fields: object) -> Payload:
    """Return `payload` with other bytes, their length and checksum right, and with other fields of its header."""
    blocks = tuple(data[start : start + BLOCK_BYTES] for start in range(0, len(data), BLOCK_BYTES))
    right = {"payload_bytes": len(data), "payload_sha256": hashlib.sha256(data).hexdigest()}
    return Payload(dataclasses.replace(payload.header, **{**right, **fields}), blocks)

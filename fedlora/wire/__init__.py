"""An adapter on the wire: its spec, its header, its codecs and its flat blocks."""

from fedlora.wire.codecs import codec_named
from fedlora.wire.header import WIRE_VERSION, Header, check
from fedlora.wire.payload import Payload, decode, encode, largest_message
from fedlora.wire.spec import AdapterSpec, TensorSpec

__all__ = [
    "WIRE_VERSION",
    "AdapterSpec",
    "Header",
    "Payload",
    "TensorSpec",
    "check",
    "codec_named",
    "decode",
    "encode",
    "largest_message",
]

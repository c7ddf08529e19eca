"""An adapter on the wire: its spec, its header and its flat blocks."""

from fedlora.wire.header import WIRE_VERSION, Header, check
from fedlora.wire.payload import Payload, decode, encode
from fedlora.wire.spec import AdapterSpec, TensorSpec

__all__ = ["WIRE_VERSION", "AdapterSpec", "Header", "Payload", "TensorSpec", "check", "decode", "encode"]

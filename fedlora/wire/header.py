"""The header of an adapter message, and the check of a message against the run it belongs to."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, get_type_hints

from fedlora.errors import WireError

__all__ = ["WIRE_VERSION", "Header", "check"]

WIRE_VERSION = 1


@dataclass(frozen=True)
class Header:
    """What stands before the values of an adapter message.

    Attributes
    ----------
    wire_version : int
        Version of this layout.
    kit_version : str
        Version of fedlora that wrote the message.
    kind : str
        ``global`` for a broadcast adapter, ``update`` for a delta against it.
    run : str
        Name of the run.
    epoch : int
        Attempt of the run, rising from 1.
    round : int
        Round, from 1.
    spec_sha256, base_model_sha256 : str
        What the values are for.
    codec, dtype : str
        How values became bytes, and their type before that.
    values : int
        Number of values.
    examples : int
        Records trained on for an update (its weight); 0 in a broadcast.
    block_bytes : int
        Length of every block but the last.
    payload_bytes : int
        Length of all blocks together.
    payload_sha256 : str
        Hash of all blocks, in order.
    """

    wire_version: int
    kit_version: str
    kind: str
    run: str
    epoch: int
    round: int
    spec_sha256: str
    base_model_sha256: str
    codec: str
    dtype: str
    values: int
    examples: int
    block_bytes: int
    payload_bytes: int
    payload_sha256: str

    def to_json(self) -> str:
        """Write the header."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Header":
        """Read a header that somebody else wrote.

        Raises
        ------
        WireError
            If a field is missing, unknown or of another type.
        """
        try:
            fields: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise WireError(f"header is not JSON: {error}") from error
        hints = get_type_hints(cls)
        if not isinstance(fields, dict) or set(fields) != set(hints):
            found = sorted(fields) if isinstance(fields, dict) else type(fields).__name__
            raise WireError(f"header has the fields {found}; expected {sorted(hints)}")
        for name, kind in hints.items():
            if type(fields[name]) is not kind:
                raise WireError(f"header field {name} is {fields[name]!r}, not a {kind.__name__}")
            if kind is int and fields[name] < 0:
                raise WireError(f"header field {name} is {fields[name]}, below zero")
        return cls(**fields)


def check(header: Header, **expected: str | int) -> None:
    """Compare `header` with what its receiver knows.

    Raises
    ------
    WireError
        At the first field that differs: names it, the value and what was expected.
    """
    for field, value in expected.items():
        found = getattr(header, field)
        if found != value:
            raise WireError(f"header field {field} is {found!r}; this run expects {value!r}")

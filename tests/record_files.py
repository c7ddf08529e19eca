"""Records and files of them that several tests read, and what is said of a file that is refused."""

import json
from pathlib import Path

import pytest

from fedlora.domains import DOMAINS
from fedlora.errors import ShardError
from fedlora.shards.records import Record, read_records

FINANCE = DOMAINS["finance"]
MEDICAL = DOMAINS["medical"]
SCHEMA = "a record holds instruction, output and perhaps input"

TWO = [Record("Größe?", "a, b", " 1 "), Record("Why?", "", "because\nof “this”")]
TWO_JSONL = (
    '{"instruction": "Größe?", "input": "a, b", "output": " 1 "}\n'
    '{"instruction": "Why?", "output": "because\\nof “this”"}\n'
).encode()
BOM = b"\xef\xbb\xbf"


def row(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


GOOD = row(instruction="a", output="b")


def refusal(file: Path, content: bytes, domain=MEDICAL) -> str:
    """Return what is said of `content`, without the name of the file that it must begin with."""
    file.write_bytes(content)
    with pytest.raises(ShardError) as caught:
        read_records(file, domain)
    message = str(caught.value)
    assert message.startswith(str(file))
    return message.removeprefix(str(file))

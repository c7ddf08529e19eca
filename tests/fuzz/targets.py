"""What is fuzzed: whatever reads what somebody else has written."""

import contextlib
import csv
import gzip
import hashlib
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, RecordDict
from fuzz.fuzzing import Target

import fedlora
from fedlora.codecs import CODECS
from fedlora.domains import DOMAINS
from fedlora.errors import WireError
from fedlora.federation import read_federation
from fedlora.federation.presets import PRESETS
from fedlora.federation.writing import preset_text
from fedlora.metrics.sample import read_samples, write_samples
from fedlora.shards import read_records
from fedlora.shards.manifest import Manifest
from fedlora.wire import AdapterSpec, Header, Payload, TensorSpec, check, decode, encode
from fedlora.wire.flower_message import Answer, read_answer, read_request, write_answer
from fedlora.wire.payload import BLOCK_BYTES
from superlink.ledger import Ledger, TurnRow
from superlink.screening import Screening

__all__ = ["TARGETS"]

SPEC = AdapterSpec(
    *(fedlora.__version__, "base", "t" * 64, "b" * 64, "finance/quick", "r" * 64, "lora", 8),
    (TensorSpec("q.lora_A.weight", (4, 90)), TensorSpec("q.lora_B.weight", (70, 4))),
)
FOLDER = tempfile.TemporaryDirectory(prefix="fedlora-fuzz-")
ABOUT = {"kind": "update", "run": "r", "epoch": 1}
VALUES = np.random.default_rng(0).normal(size=SPEC.size).astype(np.float32)


def _file(name: str, data: bytes) -> Path:
    file = Path(FOLDER.name) / name
    file.write_bytes(data)
    return file


def _update(codec: str) -> Payload:
    return encode(VALUES, SPEC, round_number=1, examples=8, codec=codec, **ABOUT)


# --- the wire ---


def header(data: bytes) -> None:
    """Read a header and the values behind it, as the coordinator does."""
    read = Header.from_json(data.decode("utf-8", "replace"))
    check(read, round=1, **ABOUT)
    decode(Payload(read, _update("fp32").blocks), SPEC)


def spec(data: bytes) -> None:
    """Read the spec that a site tells; what is read can be hashed, compared and told of."""
    read = AdapterSpec.from_json(data.decode("utf-8", "replace"))
    assert AdapterSpec.from_json(read.to_json()) == read
    f"{SPEC.difference(read)}{read.size}{read.sha256}".encode()


def values(data: bytes) -> None:
    """Decode bytes that are as long as announced and whose checksum is right; the first byte chooses the codec.

    Whatever comes out is finite and of the spec's size, and never takes more memory than that.
    """
    if not data:
        return
    codec, content = tuple(CODECS)[data[0] % len(CODECS)], data[1:]
    blocks = tuple(content[start : start + BLOCK_BYTES] for start in range(0, len(content), BLOCK_BYTES))
    fields = json.loads(_update(codec).header.to_json())
    told = {"payload_bytes": len(content), "payload_sha256": hashlib.sha256(content).hexdigest()}
    vector = decode(Payload(Header(**{**fields, **told}), blocks), SPEC, codec)
    assert vector.shape == (SPEC.size,)
    assert np.isfinite(vector).all()
    Screening(SPEC.size).take("site", vector)


def answer(data: bytes) -> None:
    """Read an answer, and note what it says: the ledger takes it."""
    text = data.decode("utf-8", "replace")
    record = ConfigRecord({"json": text, "header": _update("fp32").header.to_json()})
    block = ConfigRecord({"bytes": _update("fp32").blocks[0]})
    with contextlib.suppress(WireError):
        read_request(RecordDict({"request": ConfigRecord({"json": text})}))
    read = read_answer(RecordDict({"answer": record, "block-000000": block}))
    _ledger().end_turn(TurnRow(1, 1, "a", read.status, read.reason, figures=dict(read.figures)))
    _ledger().report("a", write_samples(read_samples(read.figures)), None)


_LEDGERS: list[Ledger] = []


def _ledger() -> Ledger:
    if not _LEDGERS:
        ledger = Ledger(Path(FOLDER.name) / "ledger.sqlite")
        ledger._execute("PRAGMA synchronous = OFF")  # the disk is not what is tried here
        ledger.start_attempt(1, 1)
        ledger.start_round(1, 1, ["a"])
        _LEDGERS.append(ledger)
    return _LEDGERS[0]


# --- files ---


def federation_file(data: bytes) -> None:
    """Read ``federation.toml``."""
    read_federation(_file("federation.toml", data))


def shard(name: str) -> Callable[[bytes], None]:
    """Return a reader of records from a file called `name`."""

    def read(data: bytes) -> None:
        for domain in (DOMAINS["finance"], DOMAINS["code"]):
            for record in read_records(_file(name, data), domain):
                assert record.output

    return read


def manifest(data: bytes) -> None:
    """Read a shard's manifest."""
    Manifest.from_file(_file("manifest.json", data))


# --- seeds ---

ROWS = [
    {"instruction": "Say it.", "input": "", "output": "it"},
    {"instruction": "And \u00fc?", "input": 'x,"y"\n', "output": "z"},
]
LABELLED = [{"text": "Stocks rise.", "label": 2}, {"text": "They fall.", "label": 0}]


def _csv() -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ROWS[0])
    writer.writeheader()
    writer.writerows(ROWS)
    return stream.getvalue().encode()


def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), stream)
    return stream.getvalue()


LINES = "".join(f"{json.dumps(row)}\n" for row in ROWS).encode()
JSON = json.dumps(ROWS).encode()
LENGTHS = {"minimum": 1, "median": 2, "p95": 3, "maximum": 4}
MANIFEST = {
    "layout": 2,
    "name": "shard",
    "domain": "finance",
    "licence": "",
    "schema": ["instruction", "input", "output"],
    "records": 2,
    "prompt_characters": LENGTHS,
    "answer_characters": LENGTHS,
    "bytes": 100,
    "sha256": "a" * 64,
    "preparation": [],
}
ANSWERS = (
    Answer("ok", figures={"loss": 1.5, 'fedlora_threads{part="trainer"}': 3.0, "clock_seconds": 1e9}),
    Answer("refused", "PolicyError: no", {"withdrawal": "paused"}),
)
CODED = tuple(bytes([number]) + b"".join(_update(codec).blocks) for number, codec in enumerate(CODECS))

TARGETS = {
    target.name: target
    for target in (
        Target("header", (_update("fp32").header.to_json().encode(),), header),
        Target("spec", (SPEC.to_json().encode(),), spec),
        Target("values", CODED, values),
        Target("answer", tuple(str(write_answer(one)["answer"]["json"]).encode() for one in ANSWERS), answer),
        Target("federation file", tuple(preset_text(name).encode() for name in PRESETS), federation_file),
        Target("shard.jsonl", (LINES, "".join(f"{json.dumps(row)}\n" for row in LABELLED).encode()), shard("s.jsonl")),
        Target("shard.jsonl.gz", (gzip.compress(LINES, mtime=0),), shard("s.jsonl.gz")),
        Target("shard.json", (JSON,), shard("s.json")),
        Target("shard.csv", (_csv(),), shard("s.csv")),
        Target("shard.parquet", (_parquet(),), shard("s.parquet")),
        Target("manifest", (json.dumps(MANIFEST).encode(),), manifest),
    )
}

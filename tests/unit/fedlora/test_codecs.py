"""Each codec by one row of a table: what it takes, how near it comes, what it holds; and whatever bytes it is given."""

import dataclasses
import json
import random
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from forged_payloads import forged

import fedlora
from fedlora.codecs import CODECS, LOSSLESS
from fedlora.errors import WireError
from fedlora.wire import AdapterSpec, Header, Payload, TensorSpec, codec_named, decode, encode


@dataclasses.dataclass(frozen=True)
class Row:
    """What a codec is to do.

    `bits` of a value; values that share a scale of two bytes, 0 for none; the largest error as a share of the value,
    and as a share of the largest value near it; the largest value.
    """

    bits: int
    block: int = 0
    of_value: float = 0.0
    of_largest: float = 0.0
    most: float = 3.4028234663852886e38


STEP_UP = 1 + 2**-7  # a scale is rounded up to eight bits
TABLE = {
    "fp32": Row(32),
    "fp16": Row(16, of_value=2**-11, most=65504.0),
    "bf16": Row(16, of_value=2**-8, most=3.3895313e38),
    "int8": Row(8, 128, of_largest=0.5 / 127 * STEP_UP, most=2.9e38),
    "int4": Row(4, 256, of_largest=0.5 / 7 * STEP_UP, most=2.9e38),
}
TABLE |= {f"{name}z": row for name, row in TABLE.items()}
SIZES = (1, 2, 3, 127, 128, 129, 255, 256, 257, 2**16 - 1, 2**16, 2**16 + 257)


def make_spec(size: int) -> AdapterSpec:
    """An adapter of `size` values in at most three tensors."""
    cuts = [part for part in (size // 3, size // 5, size - size // 3 - size // 5) if part]
    tensors = tuple(TensorSpec(f"t{number}", (part,)) for number, part in enumerate(cuts))
    return AdapterSpec(fedlora.__version__, "b", "t" * 64, "b" * 64, "code/quick", "r" * 64, "lora", 32, tensors)


def updates(size: int, seed: int = 0) -> np.ndarray:
    """Values as training leaves them, of many sizes, some of them nothing, and a denormal."""
    draw = np.random.default_rng(seed)
    vector = draw.normal(size=size) * 10.0 ** draw.integers(-4, 0, size)
    vector[draw.random(size) < 0.1] = 0
    vector[-1] = 1e-41
    return vector.astype(np.float32)


def message(codec: str, vector: np.ndarray) -> Payload:
    about = {"kind": "update", "run": "run", "epoch": 1, "round_number": 2, "examples": 16}
    return encode(vector, make_spec(vector.size), codec=codec, **about)


def test_every_codec_has_a_row():
    assert tuple(TABLE) == CODECS
    assert [codec_named(name).name for name in CODECS] == list(CODECS)
    assert [name for name in CODECS if codec_named(name).lossless] == list(LOSSLESS)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("size", SIZES)
def test_a_message_takes_what_the_table_says(name, size):
    row, codec, taken = TABLE[name], codec_named(name), len(b"".join(message(name, updates(size)).blocks))
    plain = -(-size * row.bits // 8) + (2 * -(-size // row.block) if row.block else 0)
    if not name.endswith("z"):
        assert taken == plain == codec.most_bytes(size)
        assert not codec.bounded
        return
    planes = max(1, row.bits // 8) + 2 * (row.block > 0)
    assert taken <= codec.most_bytes(size) == plain + 8 * planes
    assert codec.bounded


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("size", SIZES)
def test_values_come_back_as_near_as_the_table_says(name, size):
    row, vector = TABLE[name], updates(size)
    came = decode(message(name, vector), make_spec(size), name)
    assert (came.shape, came.dtype) == ((size,), np.float32)
    starts = np.arange(0, size, row.block or 1)
    near = np.repeat(np.maximum.reduceat(np.abs(vector), starts), row.block or 1)[:size].astype(np.float64)
    allowed = row.of_value * np.abs(vector) + row.of_largest * near + (3.1e-8 if "fp16" in name else 1e-40)
    assert (np.abs(came - vector.astype(np.float64)) <= allowed).all()
    assert (came[vector == 0] == 0).all()  # what was not trained stays as it is
    assert codec_named(name).lossless == (came.tobytes() == vector.tobytes()) == (row.bits == 32)


@pytest.mark.parametrize("name", [name for name in CODECS if name.endswith("z")])
@pytest.mark.parametrize("values", [updates(70_001), np.zeros(4097, np.float32), np.full(300, 7.5, np.float32)])
def test_entropy_coding_gives_what_the_plain_codec_gives(name, values):
    spec = make_spec(values.size)
    coded, plain = message(name, values), message(name[:-1], values)
    assert decode(coded, spec, name).tobytes() == decode(plain, spec, name[:-1]).tobytes()
    assert coded.size < plain.size


def test_halves_are_rounded_to_nearest_and_ties_to_even():
    vector = updates(5000)
    vector[:6] = [0.0, -0.0, 1.00390625, 1.01171875, 65503.9, -65504.0]
    spec, bits = make_spec(vector.size), vector.view(np.uint32) & 0xFFFF0000
    nearer, further = (one.view(np.float32).astype(np.float64) for one in (bits, bits + np.uint32(0x10000)))  # from 0
    below, above = np.abs(vector - nearer), np.abs(further - vector)
    up = (above < below) | ((above == below) & (bits >> 16 & 1 == 1))
    np.testing.assert_array_equal(decode(message("bf16", vector), spec, "bf16"), np.where(up, further, nearer))
    halves = struct.unpack("<5000e", struct.pack("<5000e", *vector.tolist()))
    np.testing.assert_array_equal(decode(message("fp16", vector), spec, "fp16"), np.array(halves, np.float32))


def test_a_block_by_hand():
    """A scale is the largest magnitude by 7, in bf16, rounded up: 3.5 by 7 is 0.5."""
    vector = np.array([3.5, -3.5, 0.3, -0.2, 0.75], dtype=np.float32)
    (block,) = message("int4", vector).blocks
    assert block == bytes([0x97, 0x01, 0x02]) + struct.pack("<f", 0.5)[2:]  # 0.75 is a tie, and goes to the even 2
    assert decode(message("int4", vector), make_spec(5), "int4").tolist() == [3.5, -3.5, 0.5, 0.0, 1.0]


@pytest.mark.parametrize("name", CODECS)
def test_the_largest_value_is_held_and_what_is_beyond_it_refused_by_name(name):
    row = TABLE[name]
    for largest in (row.most, -row.most):
        vector = np.array([0, largest, 1], dtype=np.float32)
        came = decode(message(name, vector), make_spec(3), name)
        assert np.isfinite(came).all()
        np.testing.assert_allclose(came[1], largest, rtol=max(row.of_value, row.of_largest))
    for value, reason in (
        (np.nan, "not a finite number"),
        (-np.inf, "not a finite number"),
        (3.4e38, "holds none beyo"),
    ):
        vector[1] = value
        if name.startswith("fp32") and np.isfinite(value):
            continue
        with pytest.raises(WireError, match=f"value 1 of t1 is .*{reason}"):
            message(name, vector)


def test_what_fp16_cannot_hold_is_not_cut_off_in_silence():
    with pytest.raises(WireError, match="value 0 of t0 is 65505; codec fp16 holds none beyond 65504"):
        message("fp16", np.array([65505], dtype=np.float32))


@pytest.mark.parametrize("name", CODECS)
def test_another_codec_than_expected_is_refused(name):
    payload, other = message(name, updates(50)), "bf16" if name != "bf16" else "int8"
    with pytest.raises(WireError, match=f"header field codec is '{name}'; this run expects '{other}'"):
        decode(payload, make_spec(50), other)


FUZZED = 307  # values: two blocks of int4, three of int8, neither of them whole


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Header)])
def test_a_wrong_field_of_the_header_is_refused_or_changes_nothing(name, field):
    payload, spec = message(name, updates(FUZZED)), make_spec(FUZZED)
    told = {"kind", "run", "epoch", "round", "examples"}  # of what a message is for; its receiver compares these
    value, expected = getattr(payload.header, field), decode(payload, spec, name)
    for wrong in (value + 1, value - 1, 0, 2**63) if isinstance(value, int) else (f"x{value}", "", value.upper()):
        changed = Payload(dataclasses.replace(payload.header, **{field: wrong}), payload.blocks)
        if wrong != value and field not in told:
            with pytest.raises(WireError):
                decode(changed, spec, name)
        else:
            assert decode(changed, spec, name).tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", CODECS)
def test_blocks_missing_doubled_or_reordered_are_refused(monkeypatch, name):
    monkeypatch.setattr("fedlora.wire.payload.BLOCK_BYTES", 64)
    payload, spec = message(name, updates(FUZZED)), make_spec(FUZZED)
    first, *rest = payload.blocks
    assert rest
    for blocks in (rest, [first], [first, first, *rest], [*rest, first], [first, *rest, b""], []):
        with pytest.raises(WireError, match=r"blocks hold|checksum differs"):
            decode(Payload(payload.header, tuple(blocks)), spec, name)


@pytest.mark.parametrize("name", CODECS)
def test_whatever_the_bytes_are_they_are_refused_or_values(name):
    """Messages with bytes changed, cut, doubled, moved or made up, and checksums that are right."""
    payload, spec, draw = message(name, updates(FUZZED)), make_spec(FUZZED), random.Random(2026)
    whole, most, taken = b"".join(payload.blocks), codec_named(name).most_bytes(FUZZED), 0
    try:
        for number in range(1200):
            if number == 1000:
                tracemalloc.start()  # which makes everything slower
            try:
                vector = decode(forged(payload, changed(whole, most, draw)), spec, name)
            except WireError:
                continue
            taken += 1
            assert (vector.shape, vector.dtype) == ((FUZZED,), np.float32)
            assert np.isfinite(vector).all()
        assert tracemalloc.get_traced_memory()[1] < 300_000  # most of it zlib's and the interpreter's own
    finally:
        tracemalloc.stop()
    assert taken > 20  # else the cases do not reach the codec


def changed(data: bytes, most: int, draw: random.Random) -> bytes:
    """Return `data` after one to three changes; every other time no longer than `most`."""
    made = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        kind, place = draw.randrange(8), draw.randrange(len(made)) if made else 0
        if kind < 4 and made:
            made[place] = draw.choice((0, 255, 127, 128, draw.randrange(256)))
        elif kind == 4:
            del made[place : place + draw.randint(1, 20)]
        elif kind == 5:
            made[place:place] = draw.randbytes(draw.randint(1, 20))
        elif kind == 6:
            made[place:] = made[place:][::-1]
        else:
            made = bytearray(draw.randbytes(draw.randrange(most + 20)))
    return bytes(made[:most]) if draw.random() < 0.5 else bytes(made)


@pytest.mark.parametrize("name", CODECS)
def test_any_header_is_refused_or_read(name):
    payload, spec, draw = message(name, updates(FUZZED)), make_spec(FUZZED), random.Random(2026)
    fields, expected = json.loads(payload.header.to_json()), decode(payload, spec, name)
    odd = (
        None,
        True,
        -1,
        0,
        1,
        2**31,
        2**64,
        10**30,
        0.5,
        "",
        "fp32",
        "int4z",
        "\x00",
        "ü" * 99,
        [],
        {},
        *fields.values(),
    )
    for _ in range(1000):
        made = {**fields, **{draw.choice(list(fields)): draw.choice(odd) for _ in range(draw.randint(1, 3))}}
        try:
            vector = decode(Payload(Header.from_json(json.dumps(made)), payload.blocks), spec, name)
        except WireError:
            continue
        assert vector.tobytes() == expected.tobytes()


@pytest.fixture(scope="module")
def bomb():
    """A third of a gigabyte of zeros, as DEFLATE."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(bytes(320 * 2**20)) + deflate.flush()


@pytest.mark.parametrize("name", [name for name in CODECS if name.endswith("z")])
def test_what_would_grow_beyond_its_values_is_stopped_before_it_does(name, bomb):
    size = 4_000_000
    spec, codec = make_spec(size), codec_named(name)
    sizes = [words.number for words in codec.layout(size)[1:] for _ in range(words.width)]
    lengths = np.array([len(bomb), *(0 for _ in sizes[1:])], dtype="<u8")
    assert len(bomb) < sizes[0]
    payload = forged(message(name, np.zeros(size, np.float32)), lengths.tobytes() + bomb)
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match=f"was coded as {len(bomb)} bytes does not hold just {sizes[0]}"):
            decode(payload, spec, name)
        assert tracemalloc.get_traced_memory()[1] < 4 * size + 2 * codec.most_bytes(size)  # as one that is none
    finally:
        tracemalloc.stop()

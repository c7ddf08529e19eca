import dataclasses
import json

import numpy as np
import pytest
from forged_payloads import forged
from hypothesis import given, settings
from hypothesis import strategies as st

import fedlora
from fedlora.errors import WireError
from fedlora.wire import AdapterSpec, Header, Payload, TensorSpec, check, decode, encode
from fedlora.wire.codecs import codec_named
from fedlora.wire.flower_message import Answer, Request, read_answer, read_request, write_answer, write_request
from fedlora.wire.payload import BLOCK_BYTES


def make_spec(*shapes: tuple[int, ...]) -> AdapterSpec:
    tensors = tuple(TensorSpec(f"t{index:03d}", shape) for index, shape in enumerate(shapes))
    return AdapterSpec(
        fedlora.__version__, "base", "t" * 64, "b" * 64, "finance/default", "r" * 64, "lora", 32, tensors
    )


SPEC = make_spec((4, 8), (8, 4), (3,))


def message(vector=None, spec=SPEC, **changes) -> Payload:
    vector = np.arange(spec.size, dtype=np.float32) if vector is None else vector
    named = {"kind": "update", "run": "run", "epoch": 1, "round_number": 2, "examples": 16}
    return encode(vector, spec, **{**named, **changes})


def test_what_goes_in_comes_out_bit_for_bit():
    vector = np.random.default_rng(0).normal(size=SPEC.size).astype(np.float32)
    vector[0] = np.float32(1e-45)  # a denormal
    assert decode(message(vector), SPEC).tobytes() == vector.tobytes()


def test_a_large_adapter_is_cut_into_flat_blocks():
    spec = make_spec((1024, 1024), (1024, 1024), (1024, 100))
    payload = message(np.ones(spec.size, dtype=np.float32), spec)
    assert [len(block) for block in payload.blocks] == [BLOCK_BYTES, BLOCK_BYTES, 409600]
    assert payload.size == 4 * spec.size + len(payload.header.to_json())
    assert decode(payload, spec).sum() == spec.size


def test_specs_are_equal_when_read_back_and_hash_alike():
    again = AdapterSpec.from_json(SPEC.to_json())
    assert again == SPEC
    assert again.sha256 == SPEC.sha256
    assert dataclasses.replace(SPEC, alpha=16).sha256 != SPEC.sha256


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tensors": []}, "spec has 0 tensors; allowed: 1 to 100000"),
        ({"tensors": [{"name": "b", "shape": [1]}, {"name": "a", "shape": [1]}]}, "not sorted by name"),
        ({"tensors": [{"name": "a", "shape": [1]}, {"name": "a", "shape": [1]}]}, "one stands twice"),
        ({"tensors": [{"name": "a", "shape": [0]}]}, "empty dimension"),
        ({"tensors": [{"name": "a", "shape": [2**20, 2**12]}]}, f"spec has {2**32} values"),
        ({"tensors": [{"name": "a"}]}, "spec cannot be read: 'shape'"),
        ({"more": 1}, "unexpected keyword argument 'more'"),
    ],
)
def test_a_spec_that_is_none_is_refused_by_name(change, reason):
    with pytest.raises(WireError, match="spec") as refused:
        AdapterSpec.from_json(json.dumps({**json.loads(SPEC.to_json()), **change}))
    assert reason in str(refused.value)


def test_the_difference_of_specs_is_named():
    assert SPEC.difference(SPEC) == ""
    other = dataclasses.replace(SPEC, base_model_sha256="c" * 64)
    assert SPEC.difference(other) == f"base model sha256 {'b' * 64} against {'c' * 64}"
    assert "2 tensors differ, the first is t002" in SPEC.difference(make_spec((4, 8), (8, 4), (4,)))


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Header)])
def test_every_header_field_wrong_in_turn_is_refused_by_its_name(field):
    payload = message()
    value = getattr(payload.header, field)
    wrong = dataclasses.replace(payload.header, **{field: value + 1 if isinstance(value, int) else f"x{value}"})
    expected = {"kind": "update", "run": "run", "epoch": 1, "round": 2, "examples": 16}
    with pytest.raises(WireError) as refused:
        check(wrong, **expected)
        decode(Payload(wrong, payload.blocks), SPEC)
    assert ("checksum differs" if field == "payload_sha256" else f"header field {field} is") in str(refused.value)


def test_more_bytes_than_a_codec_of_any_length_may_take_are_refused_before_they_are_joined():
    payload = message(codec="bf16z")
    most = codec_named("bf16z").most_bytes(SPEC.size)
    wrong = Payload(dataclasses.replace(payload.header, payload_bytes=most + 1), payload.blocks)
    with pytest.raises(WireError, match=rf"payload_bytes is {most + 1}; in bf16z this run takes up to {most}"):
        decode(wrong, SPEC, codec="bf16z")


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Header)])
def test_a_header_with_a_field_missing_or_of_another_type_is_refused(field):
    fields = json.loads(message().header.to_json())
    with pytest.raises(WireError, match="header has the fields"):
        Header.from_json(json.dumps({key: value for key, value in fields.items() if key != field}))
    for wrong in (None, 1.5, True, [], "x" if isinstance(fields[field], int) else 7):
        with pytest.raises(WireError, match=f"header field {field} is"):
            Header.from_json(json.dumps({**fields, field: wrong}))


def test_negative_numbers_and_unknown_fields_are_refused():
    fields = json.loads(message().header.to_json())
    with pytest.raises(WireError, match="header field examples is -1, below zero"):
        Header.from_json(json.dumps({**fields, "examples": -1}))
    with pytest.raises(WireError, match="header has the fields"):
        Header.from_json(json.dumps({**fields, "path": "/"}))
    with pytest.raises(WireError, match="header is not JSON"):
        Header.from_json("{")


BIG = make_spec((1024, 1024), (1024, 1024))


@pytest.mark.parametrize(
    "change",
    [
        lambda blocks: blocks[:1],
        lambda blocks: (*blocks, blocks[0]),
        lambda blocks: (blocks[0] + blocks[1][:1], blocks[1][1:]),
        lambda blocks: (blocks[0][:-1], blocks[1]),
        lambda blocks: (blocks[0], b""),
    ],
)
def test_missing_doubled_or_recut_blocks_are_refused(change):
    payload = message(np.ones(BIG.size, dtype=np.float32), BIG)
    with pytest.raises(WireError, match=r"blocks hold \d+ bytes; the header announces 8388608"):
        decode(Payload(payload.header, change(payload.blocks)), BIG)


def test_reordered_and_altered_blocks_are_refused():
    vector = np.arange(BIG.size, dtype=np.float32)
    payload = message(vector, BIG)
    with pytest.raises(WireError, match="checksum differs"):
        decode(Payload(payload.header, payload.blocks[::-1]), BIG)
    altered = bytes([payload.blocks[0][0] ^ 1]) + payload.blocks[0][1:]
    with pytest.raises(WireError, match="checksum differs"):
        decode(Payload(payload.header, (altered, payload.blocks[1])), BIG)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_with_its_tensor(value):
    vector = np.zeros(SPEC.size, dtype=np.float32)
    vector[33] = value
    for call in (lambda: message(vector), lambda: decode(forged(message(), vector.tobytes()), SPEC)):
        with pytest.raises(WireError) as refused:
            call()
        assert str(refused.value) == f"value 33 of t001 is {value}, not a finite number"


def test_what_cannot_be_sent_is_refused_at_the_sender():
    with pytest.raises(WireError, match=r"vector has the shape \(2,\); its spec has 67 values"):
        message(np.zeros(2, dtype=np.float32))
    with pytest.raises(WireError, match="codec 'int3' is not one of fp32, fp16, bf16, int8, int4, fp32z"):
        message(codec="int3")


def test_requests_and_answers_survive_flowers_records():
    request = Request({"run": "run", "round": 2}, message())
    assert read_request(write_request(request)) == request
    answer = Answer("ok", fields={"spec": "s"}, figures={"loss": 0.5}, payload=message())
    assert read_answer(write_answer(answer)) == answer
    assert read_answer(write_answer(Answer("refused", "why"))) == Answer("refused", "why")


def test_foreign_records_are_no_answer():
    from flwr.app import ConfigRecord, RecordDict

    with pytest.raises(WireError, match="message has no record 'answer' of ours; it holds"):
        read_answer(RecordDict({"x": ConfigRecord({"json": "{}"})}))
    with pytest.raises(WireError, match="answer has status None"):
        read_answer(RecordDict({"answer": ConfigRecord({"json": "{}"})}))
    with pytest.raises(WireError, match="record 'request' is a list"):
        read_request(RecordDict({"request": ConfigRecord({"json": "[]"})}))


@settings(max_examples=300, deadline=None)
@given(text=st.text(), blocks=st.lists(st.binary(max_size=64), max_size=4))
def test_any_bytes_give_a_named_error(text, blocks):
    with pytest.raises(WireError):
        decode(Payload(Header.from_json(text), tuple(blocks)), SPEC)


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    position=st.integers(0, 4 * SPEC.size - 1),
    field=st.sampled_from([field.name for field in dataclasses.fields(Header)]),
)
def test_any_single_change_gives_a_named_error_or_the_same_values(data, position, field):
    payload = message()
    fields = json.loads(payload.header.to_json())
    fields[field] = data.draw(st.integers() if isinstance(fields[field], int) else st.text())
    changed = bytearray(payload.blocks[0])
    changed[position] = data.draw(st.integers(0, 255))
    try:
        vector = decode(Payload(Header.from_json(json.dumps(fields)), (bytes(changed),)), SPEC)
    except WireError:
        return
    np.testing.assert_array_equal(vector, np.arange(SPEC.size, dtype=np.float32))

"""Requests and answers as records of Flower."""

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from hypothesis import given
from hypothesis import strategies as st

from fedlora.errors import WireError
from fedlora.wire import encode
from fedlora.wire.flower_message import Answer, Request, read_answer, read_request, write_answer, write_request
from tests.integration.stub_trainer import spec

SPEC = spec(layers=40, width=16384)
PAYLOAD = encode(np.ones(SPEC.size, np.float32), SPEC, kind="global", run="r", epoch=1, round_number=1)
REQUEST = Request({"run": "r", "counted": 0}, PAYLOAD)
ANSWER = Answer("ok", "", {"spec": {"a": 1}}, {"loss": 1.5, "tokens": float("inf")}, PAYLOAD)


def changed(records, name, **values):
    """Return the records with one of them changed; None takes the key out."""
    fields = {key: value for key, value in {**records[name], **values}.items() if value is not None}
    return RecordDict({**records, name: ConfigRecord(fields)})


def test_they_come_back_as_they_were():
    assert len(PAYLOAD.blocks) > 1
    assert read_request(write_request(REQUEST)) == REQUEST
    assert read_answer(write_answer(ANSWER)) == ANSWER
    assert read_request(write_request(Request({"run": "r"}))) == Request({"run": "r"})
    assert read_answer(write_answer(Answer("failed", "no trainer"))) == Answer("failed", "no trainer")


def test_each_block_is_one_object_of_flower():
    """Each object is a call: all but blocks are the dictionary itself and one record."""
    for records in (write_request(REQUEST), write_answer(ANSWER)):
        assert len(get_all_nested_objects(records)) == len(set(PAYLOAD.blocks)) + 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda records: RecordDict({}), "no record 'answer'"),
        (lambda records: changed(records, "answer", json=None), "no record 'answer'"),
        (lambda records: changed(records, "answer", json="{"), "is not JSON"),
        (lambda records: changed(records, "answer", json="[" * 100_000), "is not JSON"),
        (lambda records: changed(records, "answer", json="[]"), "is a list"),
        (lambda records: changed(records, "answer", json='{"status": "fine"}'), "status is one of ok"),
        (lambda records: changed(records, "answer", json='{"status": "ok", "reason": "", "fields": {}}'), "no figures"),
        (lambda records: changed(records, "answer", header=7), "is a int, not a text"),
        (lambda records: changed(records, "answer", header="{}"), "header"),
        (lambda records: changed(records, "block-000000", bytes="text"), "holds no bytes"),
        (lambda records: changed(records, "block-000000", bytes=None), "holds no bytes"),
        (lambda records: RecordDict({**records, "block-000000": ArrayRecord()}), "holds no bytes"),
        (lambda records: RecordDict({**records, "more": ConfigRecord()}), "blocks are named"),
        (lambda records: RecordDict({k: v for k, v in records.items() if k != "block-000000"}), "blocks are named"),
    ],
)
def test_what_is_no_answer_is_refused_by_name(change, said):
    with pytest.raises(WireError, match=said):
        read_answer(change(write_answer(ANSWER)))


@given(st.dictionaries(st.text(max_size=9), st.one_of(st.binary(), st.text(), st.integers(-9, 9), st.floats())))
def test_whatever_a_record_holds_there_is_an_answer_or_a_named_error(values):
    for name in ("answer", "block-000000"):
        try:
            read_answer(RecordDict({**write_answer(ANSWER), name: ConfigRecord(values)}))
        except WireError:
            continue

"""A short run of `make fuzz` over everything, and what it has found before."""

import json
import re
import sqlite3

import pytest
from fuzz.fuzzing import Target, fuzz
from fuzz.targets import SPEC, TARGETS
from fuzz.trainer import target as trainer_target
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedlora.config import from_mapping
from fedlora.errors import ConfigurationError, FedloraError, ShardError, WireError
from fedlora.federation import read_federation
from fedlora.shards.records import Fault, make_record
from fedlora.wire import AdapterSpec, Header
from supernode.trainer.journal import Opening

INPUTS = {"values": 1500, "header": 2000, "spec": 2000, "answer": 1500}
OTHERS = 300


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_is_read_is_taken_or_refused_by_name(name):
    report = fuzz(TARGETS[name], inputs=INPUTS.get(name, OTHERS), seed=1)
    assert report.findings == {}
    assert report.taken > 0
    assert report.refusals


def test_whatever_a_trainer_is_asked_it_answers_or_refuses_by_name():
    report = fuzz(trainer_target(), inputs=200, seed=1)
    assert report.findings == {}
    assert report.taken > 3
    assert report.refusals


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def _changed(text: str):
    """Return JSON like `text` with a few of its fields replaced by anything."""
    fields = json.loads(text)
    return st.dictionaries(st.sampled_from(sorted(fields)), JSON, max_size=3).map(lambda new: {**fields, **new})


@pytest.mark.parametrize("name", ["header", "spec", "answer", "manifest"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_stands_in_a_field_is_taken_or_refused_by_name(name, data):
    target = TARGETS[name]
    changed = data.draw(_changed(data.draw(st.sampled_from(target.seeds)).decode()))
    try:
        target.take(json.dumps(changed).encode())
    except FedloraError as error:
        str(error).encode()


def test_the_fuzzer_finds_what_is_there_to_be_found():
    """A reader with a fault far in: it takes a change to get to the text, and another to get to its length."""

    def read(data: bytes) -> None:
        fields = json.loads(data.decode("utf-8", "replace")) if data.startswith(b"{") else {}
        if not isinstance(fields, dict) or "a" not in fields:
            raise WireError("no a")
        float(fields["a"])

    report = fuzz(Target("faulty", (b'{"a": 1}',), read), inputs=3000)
    found = {re.match(r"\w+", what)[0] for what in report.findings}
    assert {"JSONDecodeError", "OverflowError"} <= found
    assert report.inputs == 3000


def test_a_text_that_no_log_takes_is_a_finding():
    def read(data: bytes) -> None:
        raise WireError("\ud800")

    assert list(fuzz(Target("faulty", (b"x",), read), inputs=2).findings) == ["WireError whose text no log can take"]


# --- what was found ---

DEEP = "[" * 100_000


def test_a_header_of_lists_in_lists_is_no_header():
    with pytest.raises(WireError, match="header is not JSON"):
        Header.from_json(DEEP)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tensors": [{"name": "a", "shape": [float("inf")]}]}, "cannot convert float infinity"),
        (
            {"tensors": [{"name": "a", "shape": [10**9] * 100_000}]},
            "more than 8 dimensions, or of one beyond 2147483648",
        ),
        ({"tensors": [{"name": "a", "shape": [10**4000]}]}, "more than 8 dimensions, or of one beyond 2147483648"),
        ({"base_model": "\ud800"}, "a text that is not printable, or longer than 4096"),
        ({"base_model": "x" * 5000}, "a text that is not printable, or longer than 4096"),
        ({"\ud800": 1}, r"unexpected keyword argument '\ud800'"),
    ],
    ids=["infinite", "many-dimensions", "huge-dimension", "half-character", "long", "half-character-as-key"],
)
def test_a_spec_that_would_end_the_run_is_refused(change, reason):
    with pytest.raises(WireError, match="spec") as refused:
        AdapterSpec.from_json(json.dumps({**json.loads(SPEC.to_json()), **change}))
    assert reason in str(refused.value)
    with pytest.raises(WireError, match="spec cannot be read"):
        AdapterSpec.from_json(DEEP)


def test_an_answer_with_a_number_that_is_none_and_half_a_character_is_noted(tmp_path):
    from flwr.app import ConfigRecord, RecordDict

    from fedlora.wire.flower_message import LONGEST_REASON, read_answer
    from superlink.ledger import Ledger, TurnRow

    reason = "\\ud800" + "x" * 10_000
    body = f'{{"status": "failed", "reason": "{reason}", "fields": {{}}, "figures": {{"a": 1{"0" * 400}, "b": 2}}}}'
    answer = read_answer(RecordDict({"answer": ConfigRecord({"json": body})}))
    assert answer.figures == {"b": 2.0}
    assert (answer.reason[:2], len(answer.reason)) == ("?x", LONGEST_REASON)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.start_attempt(1, 1)
    ledger.start_round(1, 1, ["a"])
    ledger.end_turn(TurnRow(1, 1, "a", answer.status, answer.reason))
    assert sqlite3.connect(tmp_path / "ledger.sqlite").execute("SELECT reason FROM turns").fetchone() == (
        answer.reason,
    )


@pytest.mark.parametrize("text", [f"a = {DEEP}", f"[run]\nseed = 1{'0' * 5000}"])
def test_a_federations_file_that_cannot_be_parsed_is_refused(tmp_path, text):
    (tmp_path / "federation.toml").write_text(text)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_federation(tmp_path / "federation.toml")


def test_names_of_fields_are_told_so_that_a_terminal_takes_them():
    from fedlora.domains import DOMAINS

    with pytest.raises((ShardError, Fault), match=r"found: \\ud800, a\\x1b") as refused:
        make_record({"\ud800": "x", "a\x1b": "y"}, DOMAINS["finance"])
    str(refused.value).encode()


def test_a_key_of_half_a_character_is_told_so_that_a_log_takes_it():
    with pytest.raises(ConfigurationError, match=r"- \\ud800: ") as refused:
        from_mapping(Opening, {"\ud800": 1}, origin="it")
    str(refused.value).encode()

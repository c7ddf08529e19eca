"""What the coordinator's exporter shows of the runs in a folder; see tests/integration/test_metrics.py as well."""

import json
import math
import os

import pytest

from fedlora.metrics.exposition import families
from superlink.exporter import NEWEST_RUNS, CoordinatorSeries, ExporterSettings
from superlink.ledger import Ledger, TurnRow
from superlink.presence import note_presence
from superlink.run_config import RunConfig
from superlink.runs import RunFolder, RunState, Verdicts
from superlink.told import Told


def config(name: str) -> RunConfig:
    codecs = {"upload_codec": "int8", "broadcast_codec": "bf16z"}
    budget = {"budget_bytes": 1000, "budget_rounds": 4}
    return RunConfig(name, 1, "a,b", "finance", 3, 7, 60.0, 1, 60.0, "r" * 64, **budget, **codecs)


def submitted(runs, name: str) -> RunFolder:
    folder = RunFolder(runs, name)
    folder.submit(config(name))
    return folder


def train(folder: RunFolder) -> Ledger:
    """One round: site a answers, site b refuses."""
    ledger = Ledger(folder.ledger)
    ledger.start_attempt(1, 7)
    ledger.forecast(1, 600)
    ledger.start_round(1, 1, ["a", "b"])
    ledger.sent(1, 1, ["a", "b"], 100)
    phases = {"train": 2.0, "transfer": 1.0}
    figures = {"padded_tokens": 80.0, "gpu_seconds": 2.0, "gpu_joules": 500.0}
    ledger.end_turn(TurnRow(1, 1, "a", "answered", "", 1, 0, 16, 0.5, 3.0, 60, 0, 110, phases, figures))
    far = {"update_norm": 2.5, "update_cosine": -0.75, "norm_score": 3.0, "cosine_score": -9.0}
    ledger.note_findings(1, 1, {"a": far})
    ledger.end_turn(TurnRow(1, 1, "b", "refused", "PolicyError: recipe r is not on this site's list"))
    with ledger.fence(1):
        ledger.end_round(1, 1, "aggregated", {"wait": 3.0})
    return ledger


@pytest.fixture
def shown(tmp_path):
    """Return what the exporter of the runs in a folder shows: values by key."""
    exporter = CoordinatorSeries(ExporterSettings("127.0.0.1:1", tmp_path, tmp_path / "none", tmp_path / "none"))

    def values() -> dict[str, float]:
        samples = exporter.samples()
        assert len({sample.key for sample in samples}) == len(samples), "a series stands twice"
        assert list(families(samples))  # each has the labels of its metric
        return {sample.key: sample.value for sample in samples}

    return values


def test_a_run_before_during_and_after(tmp_path, shown):
    folder = submitted(tmp_path, "first")
    assert shown()['fedlora_run_state{run="first",state="queued"}'] == 1
    ledger = train(folder)
    found = shown()
    expected = {
        'fedlora_run_state{run="first",state="running"}': 1,
        'fedlora_run_forecast_bytes{run="first"}': 600,
        'fedlora_run_budget{resource="bytes",run="first"}': 1000,
        'fedlora_run_budget_used_ratio{resource="bytes",run="first"}': 0.31,
        'fedlora_run_budget_used_ratio{resource="rounds",run="first"}': 0.25,
        'fedlora_run_rounds_aggregated{run="first"}': 1,
        'fedlora_round_participants{run="first",stage="refused"}': 1,
        'fedlora_round_domain_updates{domain="finance",run="first"}': 1,
        'fedlora_turns_total{node="a",outcome="answered",run="first"}': 1,
        'fedlora_turn_phase_seconds_total{node="a",phase="train",run="first"}': 2,
        'fedlora_refusals_total{name="PolicyError",node="b",run="first"}': 1,
        'fedlora_payload_bytes_total{codec="int8",direction="up",node="a",run="first"}': 110,
        'fedlora_payload_bytes_total{codec="bf16z",direction="down",node="b",run="first"}': 100,
        'fedlora_tokens_per_second{node="a",run="first"}': 30,
        'fedlora_padding_ratio{node="a",run="first"}': 0.25,
        'fedlora_training_gpu_joules_total{node="a",run="first"}': 500,
        'fedlora_update_norm{node="a",run="first"}': 2.5,
        'fedlora_update_cosine{node="a",run="first"}': -0.75,
        'fedlora_update_outliers_total{figure="cosine",node="a",run="first"}': 1,
        'fedlora_update_outliers_total{figure="norm",node="a",run="first"}': 0,
        'fedlora_node_rounds_since_update{node="a",run="first"}': 0,
        'fedlora_node_rounds_since_update{node="b",run="first"}': 1,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert not [key for key in found if "seconds" in key and 'resource="seconds"' in key]  # no limit, no series
    assert 'fedlora_training_gpu_joules_total{node="b",run="first"}' not in found  # absent, not zero
    ledger.end_attempt(1, "completed")
    ledger.close()
    assert shown()['fedlora_run_state{run="first",state="completed"}'] == 1


def test_what_nodes_tell_is_theirs_alone(tmp_path, shown):
    ledger = train(submitted(tmp_path, "first"))
    told = Told(ledger)
    told.note(
        "a",
        {
            'fedlora_wire_bytes_total{direction="up",run="first"}': 5.0,
            'fedlora_wire_bytes_total{direction="up",run="another"}': 6.0,
            'fedlora_payload_bytes_total{codec="fp32",direction="up",run="first"}': 7.0,
            'fedlora_threads{part="trainer"}': 8.0,
            'fedlora_threads{node="b",part="trainer"}': 9.0,
            'fedlora_node_online{}': 0.0,
            'fedlora_open_files{part="made-up"}': 1.0,
            'fedlora_disk_free_bytes{part="trainer"}': math.inf,
            "clock_seconds": math.inf,
            "loss": 1.0,
        },
    )  # fmt: skip
    found = shown()
    assert found['fedlora_wire_bytes_total{direction="up",node="a",run="first"}'] == 5
    assert found['fedlora_threads{node="a",part="trainer"}'] == 8
    assert found['fedlora_payload_bytes_total{codec="int8",direction="up",node="a",run="first"}'] == 110
    for hidden in ("another", "made-up", 'fedlora_disk_free_bytes{node="a"', "clock_skew", "fedlora_node_online"):
        assert not [key for key in found if hidden in key], hidden
    assert 'fedlora_threads{node="b",part="trainer"}' not in found
    ledger.close()


def test_of_what_a_node_told_in_two_runs_the_newest_stands(tmp_path, shown):
    ledgers = [train(submitted(tmp_path, name)) for name in ("first", "second")]
    for ledger, threads in zip(ledgers, (1.0, 2.0), strict=True):
        Told(ledger).note("a", {'fedlora_threads{part="trainer"}': threads})
    assert shown()['fedlora_threads{node="a",part="trainer"}'] == 2
    Told(ledgers[0]).note("a", {'fedlora_threads{part="trainer"}': 3.0})
    assert shown()['fedlora_threads{node="a",part="trainer"}'] == 3


def test_a_ledger_that_cannot_be_read_hides_no_other_run(tmp_path, shown, caplog):
    train(submitted(tmp_path, "whole")).close()
    damaged = submitted(tmp_path, "damaged")
    damaged.ledger.write_bytes(b"no database" * 100)
    for _ in range(2):
        found = shown()
    assert 'fedlora_run_round{run="whole"}' in found
    assert not [key for key in found if "damaged" in key]


def test_a_run_that_is_made_anew_is_shown_anew(tmp_path, shown):
    folder = submitted(tmp_path, "first")
    train(folder).close()
    assert shown()['fedlora_run_round{run="first"}'] == 1
    for file in list(folder.directory.iterdir()):
        file.unlink()
    folder.directory.rmdir()
    folder = submitted(tmp_path, "first")
    assert 'fedlora_run_round{run="first"}' not in shown()


def test_of_runs_that_have_ended_the_newest_are_shown(tmp_path, shown):
    for number in range(NEWEST_RUNS + 3):
        ledger = train(submitted(tmp_path, f"run-{number}"))
        if number != 1:
            ledger.end_attempt(1, "completed")
        ledger.close()
    runs = {key for key in shown() if key.startswith("fedlora_run_rounds{")}
    assert len(runs) == NEWEST_RUNS + 1
    assert 'fedlora_run_rounds{run="run-1"}' in runs  # it goes on
    assert 'fedlora_run_rounds{run="run-2"}' not in runs


def test_scores_are_shown_once_there_are_any(tmp_path, shown):
    folder = submitted(tmp_path, "first")
    assert not [key for key in shown() if "score" in key]
    folder.scores.write_text("{")
    assert not [key for key in shown() if "score" in key]
    score = {"measure": "label accuracy", "n": 40, "unit": "records", "records": 40, "low": 0.0, "high": 1.0}
    folder.scores.write_text(json.dumps({"base": {**score, "accuracy": 0.35}, "adapted": {**score, "accuracy": 0.925}}))
    assert shown()['fedlora_evaluation_score_ratio{benchmark="label accuracy",model="adapted",run="first"}'] == 0.925


def test_of_benchmarks_the_newest_round_is_shown_beside_the_base_model(tmp_path, shown):
    folder = submitted(tmp_path, "first")
    for who, accuracy in (("base", 0.25), ("round-0005", 0.5), ("round-0010", 0.75)):
        file = folder.benchmarks / who / "tfns" / "likelihood" / "score.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"accuracy": {"value": accuracy}}))
    found = {key: value for key, value in shown().items() if "score" in key}
    of = 'fedlora_evaluation_score_ratio{{benchmark="tfns by likelihood",model="{}",run="first"}}'
    assert found == {of.format("base"): 0.25, of.format("adapted"): 0.75}
    (folder.benchmarks / "round-10000" / "mmlu" / "likelihood").mkdir(parents=True)  # is being scored
    assert {key: value for key, value in shown().items() if "score" in key} == found
    file.write_text("{}")
    assert not [key for key in shown() if "score" in key]


def test_of_mmlu_the_groups_are_shown_that_the_board_counts(tmp_path, shown):
    folder = submitted(tmp_path, "first")
    file = folder.benchmarks / "base" / "mmlu" / "flowertune" / "score.json"
    file.parent.mkdir(parents=True)
    groups = {"stem": {"value": 0.25}, "humanities": {"value": 0.5}, "other": {"value": 1.0}}
    file.write_text(json.dumps({"accuracy": {"value": 0.75}, "groups": groups}))
    assert {key.partition('"')[2].partition('"')[0]: value for key, value in shown().items() if "score" in key} == {
        "mmlu stem by flowertune": 0.25,
        "mmlu humanities by flowertune": 0.5,
    }


def test_nodes_are_seen_as_the_keeper_noted_them(tmp_path, shown):
    note_presence(tmp_path, {"a": "online", "b": "registered"})
    seen = shown()['fedlora_node_last_seen_timestamp_seconds{node="a"}']
    note_presence(tmp_path, {"a": "offline", "b": "registered"})
    found = shown()
    assert (found['fedlora_node_online{node="a"}'], found['fedlora_node_online{node="b"}']) == (0, 0)
    assert found['fedlora_node_last_seen_timestamp_seconds{node="a"}'] == seen
    assert 'fedlora_node_last_seen_timestamp_seconds{node="b"}' not in found
    (tmp_path / "nodes.json").write_text("[1]")
    assert not [key for key in shown() if "node_online" in key]


def test_a_verdict_stands_until_something_is_written(tmp_path, monkeypatch):
    folder, verdicts, judged = submitted(tmp_path, "first"), Verdicts(), []
    original = Verdicts.of.__globals__["verdict"]
    monkeypatch.setitem(Verdicts.of.__globals__, "verdict", lambda one: judged.append(one) or original(one))

    def state(times: int) -> RunState:
        found = [verdicts.of(folder).state for _ in range(3)]
        assert (len(set(found)), len(judged)) == (1, times)
        judged.clear()
        return found[0]

    assert state(1) is RunState.QUEUED
    ledger = train(folder)
    assert state(1) is RunState.RUNNING
    ledger.end_attempt(1, "lost", "killed")
    assert state(1) is RunState.RUNNING
    folder.stop()
    assert state(1) is RunState.STOPPED
    reader = Ledger(folder.ledger, readonly=True)
    assert state(0) is RunState.STOPPED
    reader.close()
    folder.resume(1)
    assert state(1) is RunState.RUNNING
    folder.give_up("no more")
    assert state(1) is RunState.FAILED
    ledger.close()
    os.utime(folder.ledger)
    assert state(1) is RunState.FAILED

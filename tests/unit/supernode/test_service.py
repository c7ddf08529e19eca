"""The trainer behind its socket, in a process of its own with a tiny model: the contract, call by call."""

import dataclasses
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fedlora.domains import domain
from fedlora.errors import PolicyError, TrainerError, WireError
from fedlora.language_model import BaseModel
from fedlora.phases import TOLD, figure
from fedlora.recipes import recipe as recipe_of
from fedlora.settings_file import write_settings
from fedlora.shards import read_records, write_records
from fedlora.shards.shard import write_shard
from fedlora.wire import AdapterSpec, codec_named, decode, encode
from superlink.initialisation import initial_adapter
from supernode.trainer import trainer_pb2
from supernode.trainer_client import TrainerClient

RECIPE = recipe_of("medical", "quick", rounds=2, steps=2, batch=4, length=64, rank=2, alpha=4)
SLOW = dataclasses.replace(RECIPE, steps=2000, rank=4)
KEPT = dataclasses.replace(RECIPE, preset="flowertune", rounds=3, optimizer_state="kept", weight="shard")
CODECS = ("fp32", "bf16", "int8", "int4", "bf16z")
CANARY = "canary-7f3a"


def wait_for(process, socket, log):
    end = time.monotonic() + 120
    while not socket.is_socket():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def trainer(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trainer")
    records = read_records(domain("medical").sample("train"), domain("medical"))
    records[0] = dataclasses.replace(records[0], output=f"The word is {CANARY}.")
    (folder / "shard").mkdir()
    write_shard(records, folder / "shard", domain("medical"), name="test")
    settings = {
        "site": "test",
        "domain": "medical",
        "shard": folder / "shard",
        "base-model": tiny_model,
        "base-model-name": "tiny",
        "base-model-sha256": BaseModel("tiny", tiny_model).sha256,
        "state": folder / "state",
        "socket": folder / "t.sock",
        "policy": {"recipes": [RECIPE, SLOW, KEPT], "fewest-examples": 8, "largest-norm": 100.0, "codecs": CODECS},
    }
    file = write_settings(settings, folder / "trainer.toml")
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "-m", "supernode.trainer", str(file)], stdout=stream, stderr=stream)
    try:
        wait_for(process, folder / "t.sock", log)
        yield TrainerClient(folder / "t.sock")
    finally:
        process.terminate()
        assert process.wait(30) == 0, log.read_text()


@pytest.fixture(scope="module")
def spec(trainer):
    return AdapterSpec.from_json(trainer.describe(RECIPE.sha256, seconds=30).spec)


def configure(trainer, spec, run, epoch=1, recipe=RECIPE, **changes):
    fields = {"run": run, "epoch": epoch, "recipe_sha256": recipe.sha256, "spec_sha256": spec.sha256}
    codecs = {"upload_codec": "fp32", "broadcast_codec": "fp32"}
    return trainer.configure(trainer_pb2.ConfigureRequest(**{**fields, **codecs, **changes}), seconds=30)


def broadcast(spec, run, epoch=1, round_number=1, scale=1.0):
    vector = initial_adapter(spec, seed=0) * np.float32(scale)
    return encode(vector, spec, kind="global", run=run, epoch=epoch, round_number=round_number)


def test_a_round_gives_an_update_that_fits_its_header(trainer, spec):
    configure(trainer, spec, "good")
    began = time.monotonic()
    update, figures = trainer.train("good", 1, 1, broadcast(spec, "good"), seconds=60)
    seconds = [figures[figure(phase)] for phase in TOLD]
    assert min(seconds) >= 0
    assert figures["train_seconds"] > 0
    assert sum(seconds) <= time.monotonic() - began
    delta = decode(update, spec)
    assert 0 < np.abs(delta).max() < 0.1
    assert (update.header.kind, update.header.examples, update.header.round) == ("update", 8, 1)
    assert (figures["examples"], figures["tokens"], figures["padded_tokens"]) == (8, 8 * 64, 8 * 64)
    assert not {"gpu_seconds", "gpu_joules"} & figures.keys()  # absent, not 0


def trained(trainer, spec, run, round_number, counted):
    sent = broadcast(spec, run, round_number=round_number)
    return trainer.train(run, 1, round_number, sent, counted=counted, seconds=60)[0]


def test_an_update_weighs_by_the_shard_and_moments_are_kept_where_the_recipe_says_so(trainer):
    """Round 2 goes on from round 1 where that was counted, and not where it was not."""
    kept = AdapterSpec.from_json(trainer.describe(KEPT.sha256, seconds=30).spec)
    updates = {}
    for run, counted in (("kept-1", 1), ("kept-2", 1), ("uncounted", 0)):
        configure(trainer, kept, run, recipe=KEPT)
        first, second = trained(trainer, kept, run, 1, 0), trained(trainer, kept, run, 2, counted)
        assert (first.header.examples, second.header.examples) == (120, 120)
        updates[run] = [decode(one, kept).tobytes() for one in (first, second)]
    assert updates["kept-1"] == updates["kept-2"]
    assert updates["kept-1"][0] == updates["uncounted"][0]
    assert updates["kept-1"][1] != updates["uncounted"][1]
    back, fresh = trained(trainer, kept, "kept-1", 3, 1), trained(trainer, kept, "uncounted", 3, 0)
    assert decode(back, kept).tobytes() != decode(fresh, kept).tobytes()  # round 2 was lost: from those after round 1


def test_what_a_lossy_codec_leaves_out_is_sent_with_the_next_update_that_counts(trainer, spec):
    """A site's updates add up to what it trained, as near as the last of them; one that was lost owes nothing."""
    runs = {"exact": "fp32", "rough": "int4", "twice": "int4", "lost": "int4"}
    for run, codec in runs.items():
        configure(trainer, spec, run, upload_codec=codec)

    def train(run, number, counted):
        sent = broadcast(spec, run, round_number=number)
        update = trainer.train(run, 1, number, sent, counted=counted, seconds=60)[0]
        assert update == trainer.train(run, 1, number, sent, counted=counted, seconds=60)[0]  # and owes no more for it
        return decode(update, spec, runs[run]).astype(np.float64)

    first, second = train("exact", 1, 0), train("exact", 2, 1)
    rough = codec_named("int4")
    once, twice = (rough.decode(rough.encode(part.astype(np.float32)), spec.size) for part in (first, second))
    np.testing.assert_array_equal(train("rough", 1, 0), once)
    owed = (first - once).astype(np.float32)
    assert np.abs(owed).max() > 0
    expected = rough.decode(rough.encode(np.where(second == 0, 0, second + owed).astype(np.float32)), spec.size)
    np.testing.assert_array_equal(train("rough", 2, 1), expected)
    assert np.linalg.norm(first + second - once - expected) < 0.8 * np.linalg.norm(first + second - once - twice)
    train("lost", 1, 0)
    np.testing.assert_array_equal(train("lost", 2, 0), twice)  # round 1 was not counted
    train("twice", 1, 0)
    configure(trainer, spec, "twice", epoch=2, upload_codec="int4")  # a new coordinator, that has not got round 1
    sent = broadcast(spec, "twice", epoch=2)
    repeated = trainer.train("twice", 2, 1, sent, counted=0, seconds=60)[0]
    np.testing.assert_array_equal(decode(repeated, spec, "int4"), once)
    sent = broadcast(spec, "twice", epoch=2, round_number=2)
    repeated = trainer.train("twice", 2, 2, sent, counted=1, seconds=60)[0]
    np.testing.assert_array_equal(decode(repeated, spec, "int4"), expected)


def test_a_site_trains_from_the_rounding_that_it_received(trainer, spec):
    configure(trainer, spec, "halves", broadcast_codec="bf16z")
    configure(trainer, spec, "rounded")
    vector = initial_adapter(spec, seed=0)
    halves = codec_named("bf16").decode(codec_named("bf16").encode(vector), spec.size)
    about = {"kind": "global", "epoch": 1, "round_number": 1}
    sent = encode(vector, spec, run="halves", codec="bf16z", **about)
    same = encode(halves, spec, run="rounded", **about)
    updates = [decode(trainer.train(one.header.run, 1, 1, one, seconds=60)[0], spec).tobytes() for one in (sent, same)]
    assert updates[0] == updates[1]
    with pytest.raises(WireError, match="header field codec is 'fp32'; this run expects 'bf16z'"):
        trainer.train("halves", 1, 2, encode(vector, spec, run="halves", **{**about, "round_number": 2}), seconds=60)


def test_the_same_call_again_gets_the_same_answer_and_another_adapter_none(trainer, spec):
    configure(trainer, spec, "again")
    first, _ = trainer.train("again", 1, 1, broadcast(spec, "again"), seconds=60)
    second, _ = trainer.train("again", 1, 1, broadcast(spec, "again"), seconds=60)
    assert first == second
    with pytest.raises(PolicyError, match="round 1 of epoch 1 of run again had its turn"):
        trainer.train("again", 1, 1, broadcast(spec, "again", scale=2.0), seconds=60)


def test_the_trainer_says_what_it_takes_of_its_machine(trainer):
    told = {sample.key: sample.value for sample in trainer.metrics(seconds=30)}
    part = '{part="trainer"}'
    names = (
        "cpu_seconds_total",
        "resident_memory_bytes",
        "threads",
        "open_files",
        "disk_size_bytes",
        "disk_free_bytes",
    )
    ours = {"fedlora_model_load_seconds{}", "fedlora_site_updates_total{}"}  # no GPU here, and no noise
    refused = {key for key in told if key.startswith("fedlora_trainer_refusals_total")}  # by other tests
    assert told.keys() - refused == {*(f"fedlora_{name}{part}" for name in names), *ours}
    assert min(value for key, value in told.items() if key != "fedlora_site_updates_total{}") > 0
    assert told["fedlora_model_load_seconds{}"] < 120


def test_the_description_names_what_all_sites_must_share(trainer, spec):
    description = trainer.describe(RECIPE.sha256, seconds=30)
    assert description.examples == 120
    assert (spec.base_model, spec.recipe, spec.alpha) == ("tiny", "medical/quick", 4)
    assert len(spec.tensors) == 2 * 7 * 2  # A and B of 7 projections in 2 layers
    assert spec.tensors[0].name == "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"


def refused_calls(trainer, spec):
    other = dataclasses.replace(spec, base_model_sha256="c" * 64)
    return {
        "recipe": (PolicyError, "is not on this site's list", lambda: trainer.describe("f" * 64, seconds=30)),
        "codec": (
            PolicyError,
            "codec 'fp16' is not on this site's list: fp32, bf16, int8, int4, bf16z",
            lambda: configure(trainer, spec, "refused", upload_codec="fp16"),
        ),
        "broadcast's codec": (
            PolicyError,
            "codec 'int3' is not on",
            lambda: configure(trainer, spec, "refused", broadcast_codec="int3"),
        ),
        "spec": (WireError, "is not this trainer's", lambda: configure(trainer, spec, "refused", spec_sha256="0" * 64)),
        "unopened run": (
            PolicyError,
            "run never is not open at this trainer",
            lambda: trainer.train("never", 1, 1, broadcast(spec, "never"), seconds=30),
        ),
        "older epoch": (
            PolicyError,
            "epoch 1 of run refused is over: epoch 2 has begun",
            lambda: configure(trainer, spec, "refused", epoch=1),
        ),
        "unopened epoch": (
            PolicyError,
            "epoch 3 of run refused is not open; open is 2",
            lambda: trainer.train("refused", 3, 1, broadcast(spec, "refused", epoch=3), seconds=30),
        ),
        "round 0": (
            WireError,
            "round 0 is not a round",
            lambda: trainer.train("refused", 2, 0, broadcast(spec, "refused", 2), seconds=30),
        ),
        "round beyond": (
            PolicyError,
            "round 3 is beyond the 2 rounds",
            lambda: trainer.train("refused", 2, 3, broadcast(spec, "refused", 2, 3), seconds=30),
        ),
        "another round's header": (
            WireError,
            "header field round is 2; this run expects 1",
            lambda: trainer.train("refused", 2, 1, broadcast(spec, "refused", 2, 2), seconds=30),
        ),
        "another base model": (
            WireError,
            "header field spec_sha256 is",
            lambda: trainer.train("refused", 2, 1, broadcast(other, "refused", 2), seconds=30),
        ),
        "huge": (
            WireError,
            "this site allows 100",
            lambda: trainer.train("refused", 2, 1, broadcast(spec, "refused", 2, scale=1e6), seconds=30),
        ),
    }


CASES = (
    *(
        "recipe",
        "codec",
        "broadcast's codec",
        "spec",
        "unopened run",
        "older epoch",
        "unopened epoch",
        "round 0",
        "round beyond",
    ),
    *("another round's header", "another base model", "huge"),
)


@pytest.mark.parametrize("case", CASES)
def test_what_the_policy_does_not_list_is_refused_by_name(trainer, spec, case):
    configure(trainer, spec, "refused", epoch=2)
    error, reason, call = refused_calls(trainer, spec)[case]
    with pytest.raises(error) as refused:
        call()
    assert reason in str(refused.value)
    assert CANARY not in str(refused.value)


def test_a_round_under_way_keeps_no_health_check_waiting(trainer):
    slow = AdapterSpec.from_json(trainer.describe(SLOW.sha256, seconds=30).spec)
    configure(trainer, slow, "long", recipe=SLOW)
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(trainer.train, "long", 1, 1, broadcast(slow, "long"), seconds=8)
        time.sleep(1)
        for recipe in (RECIPE, SLOW):
            assert trainer.describe(recipe.sha256, seconds=2).examples
        assert "fedlora_cpu_seconds_total" in {sample.name for sample in trainer.metrics(seconds=2)}
        assert not training.done()
        with pytest.raises(TrainerError, match="did not answer within 8 s"):
            training.result()


def test_a_caller_that_leaves_ends_the_round_and_the_trainer_serves_on(trainer, spec):
    slow = AdapterSpec.from_json(trainer.describe(SLOW.sha256, seconds=30).spec)
    configure(trainer, slow, "slow", recipe=SLOW)
    with pytest.raises(TrainerError, match="the site's trainer did not answer within 1 s"):
        trainer.train("slow", 1, 1, broadcast(slow, "slow"), seconds=1)
    end = time.monotonic() + 30
    configure_error: Exception | None = None
    while time.monotonic() < end:  # the step that was under way is finished first
        try:
            spec_again = AdapterSpec.from_json(trainer.describe(RECIPE.sha256, seconds=5).spec)
            assert spec_again == spec
            return
        except TrainerError as error:
            configure_error = error
    raise AssertionError(configure_error)


def test_a_trainer_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TrainerError, match="the site's trainer is not there"):
        TrainerClient(tmp_path / "none.sock").describe("x", seconds=5)


def test_a_message_whose_time_is_over_does_not_reach_the_trainer(trainer):
    with pytest.raises(TrainerError, match="the message's time is over"):
        trainer.describe(RECIPE.sha256, seconds=-1)


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ({"shard": "nowhere.jsonl"}, 11, "nowhere.jsonl: cannot be read"),
        ({"shard": "changed"}, 11, "changed/records.jsonl: was changed after its manifest was written: SHA-256 is"),
        ({"shard": "changed", "domain": "code"}, 11, "changed: is a shard of domain medical, not of code"),
        ({"device": "gpu"}, 10, "device: 'gpu' is not one of cpu, cuda"),
        ({"device": "cuda"}, 40, "TrainerError: device is cuda, and "),
        ({"base-model": "/nowhere"}, 12, "/nowhere is not a base model: it cannot be read: [Errno 2]"),
        ({"base-model-sha256": "0" * 64}, 12, f"; {'0' * 64} is asked for. Ask the coordinator for revision and hash"),
        ({"domain": "law"}, 10, "domain 'law' is not one of"),
        ({"treads": 2}, 10, "treads: unknown key; did you mean 'threads'?"),
        ({"socket": "/" + "s" * 120}, 10, "is longer than the 100 bytes"),
        ({"state": "/proc/state"}, 40, "TrainerError: the state folder /proc/state cannot be made: [Errno 2]"),
        ({"socket": "/nowhere/t.sock"}, 40, "TrainerError: the trainer cannot listen at /nowhere/t.sock: "),
        (
            {"policy": {"recipes": [RECIPE, recipe_of("medical", "flowertune-paper")], "most-rank": 1}},
            41,
            "PolicyError: recipe medical/flowertune-paper trains a DoRA adapter of rank 32, and this site",
        ),
    ],
)
def test_a_trainer_that_cannot_start_says_why(tiny_model, tmp_path, change, code, reason):
    records = read_records(domain("medical").sample("eval"), domain("medical"))
    write_records(records, tmp_path / "shard.jsonl")
    (tmp_path / "changed").mkdir()
    write_shard(records, tmp_path / "changed", domain("medical"), name="changed")
    write_records(records[1:], tmp_path / "changed" / "records.jsonl")
    settings = {
        "site": "test",
        "domain": "medical",
        "shard": tmp_path / "shard.jsonl",
        "base-model": tiny_model,
        "base-model-name": "tiny",
        "state": tmp_path / "state",
        "socket": tmp_path / "t.sock",
        "policy": {"recipes": [RECIPE]},
        **change,
    }
    file = write_settings(settings, tmp_path / "trainer.toml")
    done = subprocess.run(
        [sys.executable, "-m", "supernode.trainer", str(file)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},  # whatever this machine has
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert reason in done.stderr


def test_the_stubs_are_those_of_the_contract(tmp_path):
    """Generated code that drifts from trainer.proto: the fault is in whoever edited one and not the other."""
    from pathlib import Path

    root = Path(__file__).parents[3]
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "grpc_python", "pyi")]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *outputs, "supernode/trainer/trainer.proto"]
    subprocess.run(command, cwd=root, check=True)
    for name in ("trainer_pb2.py", "trainer_pb2_grpc.py", "trainer_pb2.pyi"):
        made, kept = (folder / "supernode/trainer" / name for folder in (tmp_path, root))
        assert made.read_text() == kept.read_text(), f"{name} is not what `make proto` makes of trainer.proto"

import json

import numpy as np
import pytest
from safetensors import SafetensorError

from fedlora.errors import CheckpointError, ReplacedError
from fedlora.phases import Stopwatch
from superlink.checkpoints import Checkpoints
from superlink.commits import Commits
from superlink.initialisation import initial_adapter
from superlink.ledger import Ledger
from tests.integration.stub_trainer import spec

SPEC = spec()


@pytest.fixture
def run(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.start_attempt(1, 1)
    return tmp_path, ledger


def commits(folder, epoch=1, keep=3):
    return Commits(Checkpoints(folder / "checkpoints", keep), folder / "ledger.sqlite", epoch, SPEC)


def commit(run, number, seed=0, **options):
    folder, ledger = run
    ledger.start_round(number, options.get("epoch", 1), {"a": 1})
    made = commits(folder, **options)
    made.begin(number, initial_adapter(SPEC, seed), Stopwatch())
    made.finish()


def names(folder):
    return sorted(entry.name for entry in (folder / "checkpoints").iterdir())


def test_what_was_committed_comes_back_bit_for_bit(run):
    commit(run, 1, seed=5)
    found = Checkpoints(run[0] / "checkpoints").newest()
    assert (found.round, found.spec) == (1, SPEC)
    assert found.adapter.tobytes() == initial_adapter(SPEC, 5).tobytes()
    assert run[1].rounds()[0].state == "aggregated"


def test_the_newest_few_stay(run):
    for number in range(1, 6):
        commit(run, number, keep=2)
    assert names(run[0]) == ["round-0004", "round-0005"]


def test_no_checkpoint_is_no_checkpoint(tmp_path):
    assert Checkpoints(tmp_path / "none").newest() is None
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        Checkpoints(tmp_path / "none").newest_folder()


def cut(directory):
    file = directory / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(directory):
    file = directory / "adapter_model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def other_layout(directory):
    file = directory / "checkpoint.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "layout": 99}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "is damaged: adapter_model.safetensors is not what was written"),
        (flip, "is damaged: adapter_model.safetensors is not what was written"),
        (lambda directory: (directory / "spec.json").unlink(), "is damaged"),
        (lambda directory: (directory / "checkpoint.json").write_text("{"), "is damaged"),
        (lambda directory: (directory / "checkpoint.json").write_text("[]"), "is damaged"),
        (other_layout, "has layout 99; this kit reads 1"),
    ],
)
def test_a_damaged_newest_one_is_named_and_the_one_before_is_taken(run, caplog, damage, said):
    commit(run, 1, seed=1)
    commit(run, 2, seed=2)
    damage(run[0] / "checkpoints" / "round-0002")
    found = Checkpoints(run[0] / "checkpoints").newest()
    assert found.round == 1
    assert found.adapter.tobytes() == initial_adapter(SPEC, 1).tobytes()
    assert said in caplog.text
    assert "the one before it is taken" in caplog.text


def test_an_unfinished_one_is_no_checkpoint(run):
    Checkpoints(run[0] / "checkpoints").prepare(1, 1, initial_adapter(SPEC, 0), SPEC)
    assert names(run[0]) == [".round-0001.epoch-1"]
    assert Checkpoints(run[0] / "checkpoints").newest() is None


def test_a_replaced_attempt_commits_nothing(run):
    folder, ledger = run
    ledger.start_round(1, 1, {"a": 1})
    ledger.start_attempt(2, 2)
    late = commits(folder, epoch=1)
    late.begin(1, initial_adapter(SPEC, 0), Stopwatch())
    with pytest.raises(ReplacedError, match="epoch 1 is over: epoch 2 has begun"):
        late.finish()
    assert "round-0001" not in names(folder)
    assert ledger.rounds()[0].state == "training"


@pytest.mark.parametrize("kind", [OSError, SafetensorError])  # safetensors' writer has an error of its own
def test_a_full_disk_is_named_and_leaves_nothing_half_written(run, monkeypatch, kind):
    folder, ledger = run
    ledger.start_round(1, 1, {"a": 1})

    def full(*_):
        raise kind("No space left on device")

    monkeypatch.setattr("superlink.checkpoints.write_adapter", full)
    made = commits(folder)
    made.begin(1, initial_adapter(SPEC, 0), Stopwatch())
    with pytest.raises(CheckpointError, match=r"the checkpoint of round 1 cannot be written: .*No space left"):
        made.finish()
    assert names(folder) == []
    assert ledger.rounds()[0].state == "training"


def test_the_adapter_of_a_checkpoint_is_the_specs(run):
    commit(run, 1)
    from superlink.adapters import join_adapter

    tensors = {tensor.name: np.zeros(tensor.shape, dtype=np.float32) for tensor in SPEC.tensors[1:]}
    with pytest.raises(Exception, match="the adapter's tensors are not those of its spec"):
        join_adapter(tensors, SPEC)

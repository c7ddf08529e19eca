"""The round engine with sites in this process: what lossy codecs leave out, over many rounds."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

import fedlora
from fedlora.wire import AdapterSpec, TensorSpec, codec_named, decode, encode
from fedlora.wire.flower_message import Answer
from superlink.checkpoints import Checkpoints
from superlink.commits import Commits
from superlink.forecast import budget_of
from superlink.grid import Question, Reply
from superlink.initialisation import initial_adapter
from superlink.ledger import Ledger, Spending
from superlink.rounds import Rounds
from superlink.run_config import RunConfig
from superlink.strategies import new_strategy
from supernode.trainer.error_feedback import Residue

TENSORS = (TensorSpec("model.q_proj.lora_A.weight", (4, 90)), TensorSpec("model.q_proj.lora_B.weight", (70, 4)))
SPEC = AdapterSpec(fedlora.__version__, "base", "t" * 64, "b" * 64, "code/quick", "f" * 64, "lora", 8, TENSORS)


@dataclass
class InProcess:
    """Sites that train by adding `delta` to whatever they get, and carry on what they owe; they are all admitted."""

    config: RunConfig
    delta: np.ndarray
    residues: dict[str, bytes] = field(default_factory=dict)
    got: list[np.ndarray] = field(default_factory=list)
    unanswered: int = 0
    refusals: dict[str, str] = field(default_factory=dict)

    @property
    def admitted(self) -> set[str]:
        return set(self.config.site_names)

    def admit_late(self) -> None:
        """All are there."""

    def online(self) -> dict[str, int]:
        return dict.fromkeys(self.config.site_names, 1)

    def ask(self, question: Question) -> Iterator[Reply]:
        question.sent(tuple(question.requests))
        for site, request in question.requests.items():
            number = request.fields["round"]
            self.got.append(decode(request.payload, SPEC, self.config.broadcast_codec))
            residue = Residue(self.residues.get(site), SPEC.size)
            about = {"kind": "update", "run": self.config.run, "epoch": 1, "round_number": number, "examples": 10}
            update = encode(residue.added_to(self.delta), SPEC, codec=self.config.upload_codec, **about)
            self.residues[site] = residue.after(self.delta, decode(update, SPEC, self.config.upload_codec))
            yield Reply(site, Answer("ok", payload=update), 1.0)


@pytest.fixture
def run(tmp_path):
    """Return a function that runs rounds, and returns the adapter that the last checkpoint has and the sites."""

    def call(adapter, delta, **changes):
        config = RunConfig("r", 1, "a,b", "code", 50, 0, 60.0, 1, 5.0, "f" * 64, **changes)
        ledger, checkpoints = Ledger(tmp_path / "ledger.sqlite"), Checkpoints(tmp_path / "checkpoints", keep=1)
        ledger.start_attempt(1, 7)
        sites, budget = InProcess(config, delta), budget_of(config, SPEC)
        commits = Commits(checkpoints, tmp_path / "ledger.sqlite", 1, SPEC)
        strategy = new_strategy(config.strategy, {}, SPEC.adapter)
        Rounds(config, sites, sites, SPEC, ledger, budget, commits, strategy).run(0, adapter)
        assert [row.state for row in ledger.rounds()] == ["aggregated"] * 50
        assert ledger.payload_bytes() <= budget.forecast_bytes(Spending(), 50)
        ledger.close()
        return checkpoints.newest().adapter, sites

    return call


@pytest.mark.parametrize("name", ["fp32", "int4", "bf16z"])
def test_fifty_rounds_in_which_nothing_is_learnt_move_nothing(run, name):
    adapter = initial_adapter(SPEC, seed=3)
    after, sites = run(adapter, np.zeros(SPEC.size, np.float32), upload_codec=name, broadcast_codec=name)
    assert after.tobytes() == adapter.tobytes()
    codec = codec_named(name)
    assert {got.tobytes() for got in sites.got} == {codec.decode(codec.encode(adapter), SPEC.size).tobytes()}


def test_what_is_too_small_for_both_codecs_adds_up_all_the_same(run):
    """In each round a step of a thirtieth of what the upload can tell apart, and of a hundredth of the broadcast's."""
    adapter = np.linspace(0.5, 1.5, SPEC.size, dtype=np.float32)
    delta = np.where(np.arange(SPEC.size) % 100 == 0, 0.02, 1e-4).astype(np.float32)
    after, _ = run(adapter, delta, upload_codec="int4", broadcast_codec="int8")
    np.testing.assert_allclose(
        after, adapter + 50 * delta, atol=0.002
    )  # half of what the upload tells apart, and a bit

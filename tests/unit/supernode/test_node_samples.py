"""What a node tells, and what its policy keeps at the site."""

import os
import time
from importlib.metadata import version

import pytest

import fedlora
from fedlora import pki
from fedlora.errors import TrainerError
from fedlora.metrics import Sample, metric
from fedlora.metrics.exposition import families
from fedlora.metrics.sample import read_samples
from fedlora.recipes import recipe as recipe_of
from supernode.node_samples import NodeSamples
from supernode.settings import NodeSettings
from supernode.traffic import Traffic, Wire
from supernode.trainer.settings import Policy

ROUND = {
    "examples": 8,
    **dict.fromkeys(("loss", "first_loss", "last_loss"), 1.5),
    **dict.fromkeys(("tokens", "padded_tokens", "answer_tokens"), 64),
    "train_seconds": 2.0,
    "gpu_seconds": 2.0,
    "gpu_joules": None,
}


class Trainer:
    """In the place of the trainer's socket: a trainer that answers, or fails."""

    def __init__(self, error=None):
        self.asked, self.error = 0, error

    def metrics(self, *, seconds):
        self.asked += 1
        if self.error:
            raise self.error
        return [Sample("fedlora_model_load_seconds", 1.5)]


@pytest.fixture
def node(tmp_path):
    def made(trainer, **changes):
        (tmp_path / "ca").mkdir()
        authority = pki.create_authority(tmp_path / "ca", federation="test")
        settings = {
            "site": "bank",
            "domain": "finance",
            "superlink": "h:1",
            "ca_certificate": authority.certificate_file,
            "runtime_port": 9094,
            "state": tmp_path,
            **dict.fromkeys(("node_key", "superexec_secret", "trainer"), tmp_path / "none"),
            **changes,
        }
        traffic = Traffic(tmp_path)
        for run in (7, 8):
            traffic.receive(run, f"run-{run}", None)
        traffic.carry(None, Wire(5, 6))
        return NodeSamples(NodeSettings(**settings), traffic, trainer, os.getpid())

    return made


def areas(figures):
    return {str(metric(sample.name).area) for sample in read_samples(figures)}


def test_everything_is_told_in_an_answer_and_at_the_site(node):
    samples = node(Trainer())
    figures = samples.figures(7)
    assert abs(figures.pop("clock_seconds") - time.time()) < 10
    told = list(read_samples(figures))
    assert len(told) == len(figures)
    by_name = {sample.name: sample for sample in told}
    assert by_name["fedlora_node_info"].labels == {
        "domain": "finance",
        "kit": fedlora.__version__,
        "flower": version("flwr"),
    }
    days = (by_name["fedlora_certificate_expiry_timestamp_seconds"].value - time.time()) / 86400
    assert 3649 < days < 3651
    assert by_name["fedlora_model_load_seconds"].value == 1.5
    assert by_name["fedlora_resident_memory_bytes"].labels == {"part": "supernode"}
    assert {sample.labels["run"] for sample in told if "run" in sample.labels} == {"run-7"}  # another's is not its own
    at_site = [sample.of("bank") for sample in samples.all()]
    assert {sample.labels["run"] for sample in at_site if "run" in sample.labels} == {"run-7", "run-8"}
    assert {family.name for family in families(at_site)} == {sample.name.removesuffix("_total") for sample in told}


@pytest.mark.parametrize("allowed", [(), ("health",), ("traffic", "resources")])
def test_what_the_policy_does_not_list_stays(node, allowed):
    samples = node(Trainer(), figures=allowed)
    figures = samples.figures(7)
    assert areas(figures) == set(allowed)
    assert ("clock_seconds" in figures) is ("health" in allowed)
    assert {str(metric(sample.name).area) for sample in samples.all()} == {"traffic", "resources", "health"}


def test_a_trainer_that_does_not_answer_is_absent_and_said_once(node, caplog):
    trainer = Trainer(TrainerError("the site's trainer is not there"))
    samples = node(trainer)
    for _ in range(3):
        assert areas(samples.figures(7)) == {"traffic", "resources", "health"}
    line = "nothing is told of the trainer: TrainerError: the site's trainer is not there"
    assert [record.getMessage() for record in caplog.records] == [line]
    trainer.error = None
    assert "fedlora_model_load_seconds{}" in samples.figures(7)


def test_a_certificate_that_is_not_there_takes_nothing_else_with_it(node, tmp_path):
    figures = node(Trainer(), ca_certificate=tmp_path / "none").figures(7)
    assert areas(figures) == {"traffic", "resources", "health"}
    assert not [key for key in figures if "certificate" in key]


def test_a_site_that_takes_no_part_does_not_ask_its_trainer(node):
    trainer = Trainer()
    figures = node(trainer).figures(7, withdrawn=True)
    assert "fedlora_model_load_seconds{}" not in figures
    assert areas(figures) == {"traffic", "resources", "health"}
    assert trainer.asked == 0


@pytest.mark.parametrize(
    ("allowed", "left_out"),
    [
        (("training", "resources"), set()),
        (("resources",), {"loss", "first_loss", "last_loss", "tokens", "padded_tokens", "answer_tokens"}),
        (("training", "traffic"), {"gpu_seconds"}),
    ],
)
def test_of_a_rounds_figures_those_leave_that_are_there_and_allowed(allowed, left_out):
    figures = Policy((recipe_of("finance", "quick"),), figures=allowed).allowed(ROUND)
    assert figures.keys() == ROUND.keys() - left_out - {"gpu_joules"}

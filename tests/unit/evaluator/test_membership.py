"""The loss-threshold attack: its figures against plain ones, its losses against the trainer's, and a real attack."""

import json
import math
import random

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from evaluator.membership import Losses, attack, attacks
from fedlora.cli.main import application
from fedlora.domains import domain
from fedlora.errors import ConfigurationError, EvaluationError
from fedlora.recipes import recipe as recipe_of
from fedlora.shards import Record, read_records, write_records
from superlink.adapters import write_adapter
from superlink.initialisation import initial_adapter
from supernode.trainer.gaussian_noise import clipped, noised
from supernode.trainer.service import ResidentTrainer
from supernode.trainer.settings import Policy, TrainerSettings
from supernode.trainer.training import train_round

RECIPE = recipe_of(
    *("medical", "quick"),
    rounds=9,
    steps=12,
    batch=10,
    length=64,
    rank=8,
    alpha=16,
    learning_rate=1e-2,
)
COUNT = 40


def test_the_area_is_the_share_of_pairs_that_are_in_order():
    draw = np.random.default_rng(0)
    members, others = draw.integers(0, 9, 30).astype(float), draw.integers(-3, 6, 20).astype(float)
    pairs = [1.0 if one > other else 0.5 if one == other else 0.0 for one in members for other in others]
    found = attack("loss", members, others)
    assert found.auc == pytest.approx(sum(pairs) / len(pairs))
    assert (found.members, found.others) == (30, 20)
    assert found.low < found.auc < found.high


def test_the_interval_covers_the_truth_as_often_as_it_says():
    draw, times = np.random.default_rng(1), 400
    truth = 0.5 * math.erfc(-0.5)  # of normal scores whose means are one deviation apart: Phi(1 / sqrt(2))
    inside = 0
    for _ in range(times):
        found = attack("loss", draw.normal(1, 1, 60), draw.normal(0, 1, 60))
        inside += found.low <= truth <= found.high
    assert 0.91 <= inside / times <= 0.98


def test_few_are_found_where_few_are_taken_wrongly():
    draw = np.random.default_rng(2)
    assert attack("loss", draw.normal(size=2000), draw.normal(size=2000)).found == pytest.approx(0.05, abs=0.03)
    assert attack("loss", np.arange(20.0) + 100, np.arange(20.0)).found == 1.0


def test_what_the_base_model_knows_already_is_taken_off():
    draw = np.random.default_rng(3)
    base = Losses(draw.normal(2, 1, 50), draw.normal(4, 1, 50))  # members are the easier texts, trained on or not
    untouched = {one.by: one.auc for one in attacks(base, base)}
    assert untouched["loss"] > 0.8
    assert untouched["loss against base"] == 0.5
    assert [one.by for one in attacks(base, None)] == ["loss"]


def test_too_few_records_are_refused():
    with pytest.raises(EvaluationError, match="9 members and 50 others are too few; 10 of each at least"):
        attack("loss", np.zeros(9), np.zeros(50))


def told(count: int, seed: int) -> list[Record]:
    """Records of which nothing can be known that was not read."""
    draw = random.Random(seed)
    return [
        Record("What is the code?", f"case {seed}-{n}", "".join(draw.choices("abcdefgh", k=12))) for n in range(count)
    ]


def trained(tiny_model, folder, *, clip=0.0, noise=0.0):
    """Train an adapter on the members for some rounds, each update as a policy lets it leave; return its folder."""
    settings = TrainerSettings(
        *("s", "medical", folder / "members.jsonl", tiny_model, "tiny"),
        state=folder / f"state-{noise}",
        socket=folder / "t.sock",
        policy=Policy((RECIPE,)),
    )
    site = ResidentTrainer(settings)
    vector = initial_adapter(site.adapter.spec, seed=0)
    for number in range(1, RECIPE.rounds + 1):
        delta, _, _ = site.train(RECIPE, vector, number, lambda: False)
        if clip:
            delta = noised(clipped(delta, clip)[0], clip * noise)
        vector = vector + delta
    directory = folder / f"adapter-{noise}"
    directory.mkdir()
    write_adapter(vector, site.adapter.spec, directory)
    (directory / "spec.json").write_text(site.adapter.spec.to_json())
    return directory


@pytest.fixture(scope="module")
def attacked(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacked")
    for name, seed in (("members", 1), ("others", 2)):
        write_records(told(COUNT, seed), folder / f"{name}.jsonl")
    return folder, trained(tiny_model, folder), trained(tiny_model, folder, clip=0.5, noise=1.0)


def run(*arguments):
    return CliRunner().invoke(application, ["adapter", "attack", *map(str, arguments)])


def test_an_adapter_tells_its_records_and_with_noise_it_does_not(attacked, tiny_model, figure):
    folder, bare, noisy = attacked
    files = ("--members", folder / "members.jsonl", "--others", folder / "others.jsonl", "--base-model", tiny_model)
    result = run(bare, noisy, *files, "--format", "json")
    assert result.exit_code == 0, result.exception
    base, plain, protected = json.loads(result.stdout)
    assert [base["adapter"], plain["adapter"], protected["adapter"]] == [None, str(bare), str(noisy)]
    by = [{one["by"]: one for one in row["attacks"]} for row in (base, plain, protected)]
    assert abs(by[0]["loss"]["auc"] - 0.5) < 0.3
    assert by[1]["loss against base"]["low"] > 0.8
    assert plain["members_loss"] < plain["others_loss"]
    assert by[2]["loss against base"]["auc"] < by[1]["loss against base"]["low"]
    assert abs(by[2]["loss against base"]["auc"] - 0.5) < 0.3
    figure(
        f"membership, {COUNT} and {COUNT} records, random model: AUC {by[1]['loss against base']['auc']:.3f}, "
        f"with noise {by[2]['loss against base']['auc']:.3f}"
    )
    table = run(bare, *files).stdout
    assert f"{COUNT} members, {COUNT} others" in table
    assert f"{by[1]['loss against base']['auc']:.3f}" in table


def test_the_losses_are_those_of_training(tiny_model, tmp_path):
    """The first step's loss over all records is the mean of the attack's, weighted by the tokens of the answers."""
    from evaluator.scoring.record_losses import adapter_losses
    from fedlora.language_model import BaseModel

    medical = domain("medical")
    records = read_records(medical.sample("train"), medical)[:16]
    write_records(records, tmp_path / "records.jsonl")
    recipe = recipe_of(
        "medical", "quick", steps=1, batch=16, length=48, base_precision="fp32", compute_precision="fp32"
    )
    settings = TrainerSettings(
        *("s", "medical", tmp_path / "records.jsonl", tiny_model, "tiny"),
        state=tmp_path,
        socket=tmp_path / "t.sock",
        policy=Policy((recipe,)),
    )
    site = ResidentTrainer(settings)
    lengths = [example.answer_length for example in site.examples]
    torch.manual_seed(0)
    told = train_round(site.adapter, site.examples, recipe, 1, seed=0, padding=site.padding, tokens_at_once=512).loss
    losses = adapter_losses(BaseModel("tiny", tiny_model), {"base": None}, recipe, records, records)["base"]
    np.testing.assert_array_equal(losses.members, losses.others)
    assert np.average(losses.members, weights=lengths) == pytest.approx(told, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (["--recipe", "medical/quik"], ConfigurationError, "'medical/quik' is not a recipe: did you mean"),
        (["--limit", "5"], EvaluationError, "5 members and 5 others are too few"),
    ],
)
def test_what_cannot_be_attacked_is_named(attacked, tiny_model, change, error, reason):
    folder, bare, _ = attacked
    files = ("--members", folder / "members.jsonl", "--others", folder / "others.jsonl", "--base-model", tiny_model)
    result = run(bare, *files, *change)
    assert type(result.exception) is error
    assert reason in str(result.exception)


def test_an_adapter_of_others_needs_a_recipe(attacked, tmp_path):
    folder, bare, _ = attacked
    other = tmp_path / "other"
    other.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (other / name).write_bytes((bare / name).read_bytes())
    result = run(other, "--members", folder / "members.jsonl", "--others", folder / "others.jsonl")
    assert type(result.exception) is ConfigurationError
    assert "does not say which recipe it was trained with; name one with --recipe" in str(result.exception)

"""``python -m evaluator``: a run of a folder of runs, or the adapter that the file names."""

import json

import pytest
from peft import LoraConfig, get_peft_model

from evaluator.__main__ import main
from fedlora.domains import domain
from fedlora.errors import BaseModelError, ConfigurationError, EvaluationError
from fedlora.language_model import BaseModel
from fedlora.language_model.loading import load
from fedlora.recipes import recipe
from fedlora.settings_file import write_settings
from fedlora.shards import Record
from fedlora.shards.shard import write_shard

RECORDS = [Record("Say it.", f"{n}", f"word {n}") for n in range(6)]


@pytest.fixture(scope="module")
def runs(tiny_model, tmp_path_factory):
    """A folder of runs; of the one in it, the second round is the newest."""
    runs = tmp_path_factory.mktemp("runs")
    model, _ = load(BaseModel("tiny", tiny_model))
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"]))
    adapted.save_pretrained(runs / "first" / "checkpoints" / "round-0002")
    (runs / "first" / "checkpoints" / "round-0001").mkdir()  # not even looked at
    (runs / "queued").mkdir()
    return runs


@pytest.fixture
def evaluate(tiny_model, tmp_path):
    """Call the program with a settings file that has what is given."""
    (tmp_path / "held-out").mkdir()
    write_shard(RECORDS, tmp_path / "held-out", domain("medical"), name="held-out")
    common = {
        "recipe": recipe("medical", "quick"),
        "records": tmp_path / "held-out",
        "base-model": tiny_model,
        "base-model-name": "tiny",
        "threads": 1,
    }

    def call(*arguments, **settings):
        file = tmp_path / "evaluation.toml"
        file.unlink(missing_ok=True)
        keys = {key.replace("_", "-"): value for key, value in settings.items()}
        return main([str(write_settings({**common, **keys}, file)), *arguments])

    return call


def test_a_run_is_scored_to_the_standard_output(evaluate, runs, capsys):
    assert evaluate("first", runs=runs) == 0
    scores = json.loads(capsys.readouterr().out)
    assert {name: (one["measure"], one["records"]) for name, one in scores.items()} == {
        "base": ("token accuracy", 6),
        "adapted": ("token accuracy", 6),
    }


def test_an_adapter_is_scored_to_a_file(evaluate, runs, tmp_path, capsys):
    newest = runs / "first" / "checkpoints" / "round-0002"
    assert evaluate(adapter=newest, result=tmp_path / "scores.json") == 0
    assert set(json.loads((tmp_path / "scores.json").read_text())) == {"base", "adapted"}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("queued",), EvaluationError, "there is no checkpoint in {runs}/queued/checkpoints; a run has one once its"),
        (("none",), EvaluationError, "there is no checkpoint in {runs}/none/checkpoints"),
        (("../first",), EvaluationError, "'../first' is no name"),
        ((), ConfigurationError, "name one run of those in {runs}: first"),
        (("first", "second"), ConfigurationError, "name one run of those in {runs}"),
    ],
)
def test_what_is_no_run(arguments, error, said, evaluate, runs, capsys):
    assert evaluate(*arguments, runs=runs) == error.exit_code
    assert f" ERROR {error.__name__}: {said.format(runs=runs)}" in capsys.readouterr().err


def test_a_run_beside_an_adapter(evaluate, runs, capsys):
    assert evaluate("first", adapter=runs) == ConfigurationError.exit_code
    assert "ConfigurationError: first: the file names the adapter already; leave this out\n" in capsys.readouterr().err
    assert evaluate("first", adapter=runs, runs=runs) == ConfigurationError.exit_code
    assert "adapter or runs must be set, and not both" in capsys.readouterr().err


def test_another_base_model_than_the_federations(evaluate, runs, capsys):
    assert evaluate("first", runs=runs, base_model_sha256="ab" * 32) == BaseModelError.exit_code
    assert f"{'ab' * 32} is asked for" in capsys.readouterr().err

"""The main job on the real base model: SmolLM2-135M-Instruct."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fedlora.domains import domain
from fedlora.shards import read_records, write_records

FEDLORA = str(Path(sys.executable).with_name("fedlora"))
pytestmark = pytest.mark.model


def demo(folder: Path, *options: str) -> dict:
    command = [FEDLORA, "demo", "--format", "json", "--workdir", "work", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(1600)
@pytest.mark.real_data
def test_two_sites_learn_the_sentiment_of_tweets(real_data, tmp_path, figure):
    """On a seeded subset of the validation file; the README's command scores all of it."""
    validation = read_records(real_data / "finance/open/eval/tfns_sent_valid.csv", domain("finance"))
    assert len(validation) == 2388
    write_records(random.Random(0).sample(validation, 300), tmp_path / "subset.jsonl")
    report = demo(
        tmp_path,
        *("--domain", "finance", "--steps", "14", "--rounds", "3", "--eval", "subset.jsonl"),
        *("--train", str(real_data / "finance/open/train/tfns_sent_train.csv")),
    )
    base, adapted = report["evaluation"]["base"], report["evaluation"]["adapted"]
    figure(
        f"TFNS, n = {base['n']} of 2388: base model {base['accuracy']:.3f}, majority {base['majority']:.3f}, "
        f"adapter {adapted['accuracy']:.3f}"
    )
    assert base["n"] == adapted["n"] == 300
    assert adapted["accuracy"] >= base["accuracy"] + 0.05
    assert adapted["accuracy"] >= base["majority"] + 0.05


@pytest.mark.timeout(1600)
@pytest.mark.real_data
def test_the_medical_file_runs_with_one_option_changed(real_data, tmp_path, figure):
    source = real_data / "medical/open/train/medical_meadow_wikidoc_patient_information.jsonl"
    lines = source.read_text().splitlines(keepends=True)
    (tmp_path / "subset.jsonl").write_text("".join(random.Random(0).sample(lines, 150)))
    report = demo(tmp_path, "--domain", "medical", "--steps", "2", "--rounds", "2", "--train", "subset.jsonl")
    base, adapted = report["evaluation"]["base"], report["evaluation"]["adapted"]
    figure(
        f"WikiDoc, n = {base['n']} tokens of {base['records']} records: base model {base['accuracy']:.3f}, "
        f"adapter {adapted['accuracy']:.3f}"
    )
    assert (base["measure"], base["records"]) == ("token accuracy", 15)
    assert adapted["accuracy"] > base["accuracy"]
    losses = [site["loss"] for row in report["rounds"] for site in row["sites"]]
    assert max(losses[2:]) < min(losses[:2])


@pytest.mark.timeout(900)
def test_the_sample_records_teach_something_everywhere(tmp_path, figure):
    """What `make demo` shows, shortened: a user without any data files sees a gain too."""
    report = demo(tmp_path, "--steps", "5", "--rounds", "2")
    scores = report["evaluation"]
    figure(
        f"sample records, n = {scores['base']['n']}: base model {scores['base']['accuracy']:.3f}, "
        f"adapter {scores['adapted']['accuracy']:.3f}"
    )
    assert scores["adapted"]["accuracy"] > scores["base"]["accuracy"]

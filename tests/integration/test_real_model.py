"""The main job on the real base model: SmolLM2-135M-Instruct."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlora.domains import domain
from fedlora.language_model import obtain
from fedlora.recipes import recipe as recipe_of
from fedlora.shards import partition, read_records, write_records
from superlink.runs import RunState
from tests.integration.conftest import federation
from tests.integration.test_survival import finish, in_round, wait

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
        *("--domain", "finance", "--steps", "14", "--rounds", "2", "--eval", "subset.jsonl"),
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


@pytest.mark.timeout(900)
def test_a_site_that_is_killed_in_the_middle_of_a_round_changes_no_bit(tmp_path, figure):
    """The same run twice on SmolLM2, once with all of a site killed in round 2."""
    recipe = recipe_of("finance", "quick", rounds=2, steps=2)
    with federation(tmp_path / "federation", recipe=recipe) as made:
        made.create_credentials()
        made.start_superlink()
        records = read_records(domain("finance").sample("train"), domain("finance"))
        for name, part in zip(made.sites, partition(records, 2, seed=0), strict=True):
            write_records(part, made.site(name) / "shard.jsonl")
            made.start_trainer(name, obtain())
            made.start_supernode(name)
        made.wait_for_sites()
        made.start_keeper()
        adapters = []
        for made.run in ("undisturbed", "disturbed"):
            made.folder.submit(made.config(rounds=2, recipe_sha256=recipe.sha256, deadline=600.0, min_sites=2))
            if made.run == "disturbed":
                wait(made, made.folder, in_round(2))
                wait(made, made.folder, lambda _: made.log("site-1-trainer").count("epoch 1: open") == 2)
                time.sleep(1)
                for part in made.parts.started:
                    if part.name.startswith("site-1"):
                        os.killpg(part.process.pid, signal.SIGKILL)
                killed = time.monotonic()
            assert finish(made, made.folder, 400).state is RunState.COMPLETED
            adapters.append((made.folder.adapter / "adapter_model.safetensors").read_bytes())
    figure(f"kill -9 of a site that trains SmolLM2: the run was completed {time.monotonic() - killed:.1f} s later")
    killed_in = next(turn for turn in made.ledger().turns() if (turn.round, turn.site) == (2, "site-1"))
    assert (killed_in.outcome, killed_in.tries > 1) == ("answered", True)
    assert adapters[0] == adapters[1]
    noted = b"".join(log.read_bytes() for log in (tmp_path / "federation").rglob("audit.jsonl"))
    assert noted.count(b'"round.trained"') >= 2 * 2 * 2  # two sites, two rounds, two runs
    for record in records:
        texts = [json.dumps(text)[1:-1] for text in (record.instruction, record.input) if len(text) > 12]
        assert not [text for text in texts if text.encode() in noted]

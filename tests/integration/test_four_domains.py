"""The four domains of the benchmark, each trained on real records with the recipe that is to be begun with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedlora.domains import DOMAINS
from fedlora.language_model import obtain
from fedlora.processes import free_ports
from superlink.ledger import Ledger
from superlink.runs import RunFolder

FEDLORA = str(Path(sys.executable).with_name("fedlora"))
RECORDS = {
    "general-nlp": "general-nlp/open/train/rasbt_instruction_data.json",
    "finance": "finance/open/train/tfns_train_fingpt_format.jsonl",
    "medical": "medical/open/train/medical_meadow_wikidoc_patient_information.jsonl",
    "code": "code/research-only/train/code_alpaca_2k.json",
}
CHANGES = {"rounds": 2, "steps": 2, "batch": 4, "length": 128, "learning-rate": 1e-3}
pytestmark = [pytest.mark.model, pytest.mark.real_data]


def fedlora(*arguments: object, cwd: Path) -> str:
    done = subprocess.run(
        [FEDLORA, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=900, env={**os.environ}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(1500)
def test_each_domain_is_trained_with_its_own_recipe(real_data, tmp_path, no_strays, figure):
    fleet, http, *runtime = free_ports(6)
    values = "".join(f"{key} = {value}\n" for key, value in CHANGES.items())
    text = f'name = "quartet"\nbase-model = "{obtain().directory}"\n[coordinator]\nhost = "127.0.0.1"\n'
    text += f'machine = "here"\nfleet-port = {fleet}\nhttp-port = {http}\nmetrics-port = 0\n'
    for name, port in zip(DOMAINS, runtime, strict=True):
        text += f'[[site]]\nname = "{name}"\ndomain = "{name}"\nshard = "shards/{name}"\nmachine = "here"\n'
        text += f'runtime-port = {port}\nmetrics-port = 0\n[[recipe]]\ndomain = "{name}"\n{values}'
    (tmp_path / "federation.toml").write_text(text)
    for name, file in RECORDS.items():
        skip = ("--skip-bad",) if name == "code" else ()  # two of its answers are empty
        fedlora("shard", "import", real_data / file, f"shards/{name}", "--domain", name, *skip, cwd=tmp_path)
    fedlora("up", cwd=tmp_path)
    try:
        for name in DOMAINS:
            fedlora("run", "submit", name, "--set", f"run.recipe={name}/default", cwd=tmp_path)
        for name in DOMAINS:
            assert f"run {name}: completed, 2 of 2 rounds" in fedlora("run", "watch", name, cwd=tmp_path)
    finally:
        fedlora("down", "--yes", cwd=tmp_path)
    assert no_strays(tmp_path) == []
    for name in DOMAINS:
        folder = RunFolder(tmp_path / "runs", name)
        ledger = Ledger(folder.ledger, readonly=True)
        turns = [(turn.site, turn.outcome, turn.examples) for turn in ledger.turns()]
        losses = [turn.loss for turn in ledger.turns()]
        ledger.close()
        assert turns == [(name, "answered", 8)] * 2
        adapter = json.loads((folder.adapter / "adapter_config.json").read_text())
        assert (adapter["r"], sorted(adapter["target_modules"])) == (32, ["q_proj", "v_proj"])
        figure(f"{name}: loss {losses[0]:.2f} and {losses[1]:.2f} in two rounds of 8 records, base model in fp4")

"""Kinds of adapters, precisions and optimisers, each over the real engine with a tiny random model."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedlora.domains import domain
from fedlora.processes import free_ports
from superlink.ledger import Ledger
from superlink.runs import RunFolder

FEDLORA = str(Path(sys.executable).with_name("fedlora"))
SITES = ("bank", "broker")
RECIPES = {
    "finance/flowertune-paper": "rounds = 3\nrank = 16\nbase-precision = 'nf4'\n",
    "finance/flowertune": "rounds = 3\nadapter = 'rslora'\noptimizer = 'adamw-8bit'\noptimizer-state = 'kept'\n",
    "finance/default": "rounds = 2\nbase-precision = 'int8'\n",
}


def fedlora(*arguments: object, cwd: Path) -> str:
    done = subprocess.run([FEDLORA, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_federation(folder: Path, model: Path) -> None:
    """Write a federation of two sites, the second of which trains half of a rank."""
    fleet, http, *runtime = free_ports(4)
    text = f'name = "kinds"\nbase-model = "{model}"\n[coordinator]\nhost = "127.0.0.1"\nmachine = "here"\n'
    text += f"fleet-port = {fleet}\nhttp-port = {http}\nmetrics-port = 0\n[run]\nmin-sites = 2\n"
    for name, port, rank in zip(SITES, runtime, (0, 16), strict=True):
        text += f'[[site]]\nname = "{name}"\ndomain = "finance"\nshard = "shards/{name}"\nmachine = "here"\n'
        text += f"runtime-port = {port}\nmetrics-port = 0\n[site.policy]\nmost-rank = {rank}\n"
    for name, values in RECIPES.items():
        text += f'[[recipe]]\ndomain = "finance"\npreset = "{name.partition("/")[2]}"\nsteps = 2\nbatch = 4\n{values}'
    (folder / "federation.toml").write_text(text)


@pytest.mark.timeout(900)
def test_every_kind_of_training_goes_through_the_engine(tiny_model, tmp_path, no_strays):
    write_federation(tmp_path, tiny_model)
    for name in SITES:
        sample = domain("finance").sample("train")
        fedlora("shard", "import", sample, f"shards/{name}", "--domain", "finance", cwd=tmp_path)
    fedlora("up", cwd=tmp_path)
    runs = {name: name.replace("/", "-") for name in RECIPES}
    try:
        for name, run in runs.items():
            fedlora("run", "submit", run, "--set", f"run.recipe={name}", cwd=tmp_path)
        for run in runs.values():
            assert f"run {run}: completed" in fedlora("run", "watch", run, cwd=tmp_path)
    finally:
        fedlora("down", "--yes", cwd=tmp_path)
    assert no_strays(tmp_path) == []
    folders = {name: RunFolder(tmp_path / "runs", run) for name, run in runs.items()}
    kinds = {name: json.loads((of.adapter / "adapter_config.json").read_text()) for name, of in folders.items()}
    assert {name: (kind["r"], kind["use_dora"], kind["use_rslora"]) for name, kind in kinds.items()} == {
        "finance/flowertune-paper": (16, True, False),
        "finance/flowertune": (32, False, True),
        "finance/default": (32, False, False),
    }
    for folder in folders.values():
        _check_learned(folder)
    paper = folders["finance/flowertune-paper"].adapter
    fedlora("adapter", "merge", paper, "--to", tmp_path / "merged", "--base-model", tiny_model, cwd=tmp_path)
    assert (tmp_path / "merged" / "model.safetensors").exists()


def _check_learned(folder: RunFolder) -> None:
    """Check that both sites have answered each round, and have changed all that they train."""
    ledger = Ledger(folder.ledger, readonly=True)
    turns = [(turn.outcome, turn.examples) for turn in ledger.turns()]
    ledger.close()
    shard = folder.runs.parent / "shards" / SITES[0] / "records.jsonl"
    whole = len(shard.read_text(encoding="utf-8").splitlines())
    assert folder.recipe is not None
    assert turns == [("answered", 8 if folder.recipe.weight == "trained" else whole)] * 2 * folder.recipe.rounds
    adapter = load_file(folder.adapter / "adapter_model.safetensors")
    assert all(np.abs(values).max() > 0 for values in adapter.values())

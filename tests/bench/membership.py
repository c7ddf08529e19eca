"""What an adapter of SmolLM2 tells of its records, and what of that clipping and noise leave: for docs/privacy.md.

One site trains on a file of its own for some rounds, each update as its policy lets it leave; then its adapters are
attacked with `fedlora adapter attack`. More rounds over the same few records than anybody would train: what is measured
is what can be told, at its worst.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fedlora.domains import domain
from fedlora.language_model import DEFAULT_BASE_MODEL, obtain
from fedlora.recipes import recipe as recipe_of
from fedlora.shards import read_records, write_records
from superlink.adapters import write_adapter
from superlink.initialisation import initial_adapter
from supernode.trainer.accountant import epsilon_of, update_distance
from supernode.trainer.settings import Policy, TrainerSettings

DELTA = 1e-6


def main() -> None:
    """Train, attack, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a file of records of the domain general-nlp")
    parser.add_argument("--records", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clip", type=float, default=0.01)
    parser.add_argument("--noise", type=float, nargs="*", default=[2.0])
    arguments = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS=str(arguments.threads), OMP_WAIT_POLICY="PASSIVE", HF_HUB_OFFLINE="1")
    os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error")
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, Path(folder))


def measure(arguments: argparse.Namespace, folder: Path) -> None:
    """Train an adapter without protection, and one with each noise; attack all of them at once."""
    general = domain("general-nlp")
    records = random.Random(0).sample(read_records(arguments.data, general), 2 * arguments.records)
    write_records(records[: arguments.records], folder / "members.jsonl")
    write_records(records[arguments.records :], folder / "others.jsonl")
    recipe = recipe_of(
        *("general-nlp", "quick"),
        rounds=arguments.rounds,
        steps=arguments.steps,
        batch=arguments.batch,
        length=128,
        learning_rate=1e-3,
    )
    policies = {"no protection": {}}
    for noise in arguments.noise:
        policies[f"clip {arguments.clip:g}, noise {noise:g}"] = {
            "clip_norm": arguments.clip,
            **({"noise_multiplier": noise} if noise else {}),
        }
    folders = {}
    for name, policy in policies.items():
        folders[name] = train(name, Policy((recipe,), **policy), folder)
    program = [str(Path(sys.executable).with_name("fedlora")), "adapter", "attack", *map(str, folders.values())]
    command = [*program, "--members", str(folder / "members.jsonl"), "--others", str(folder / "others.jsonl")]
    told = json.loads(subprocess.run([*command, "--format", "json"], check=True, capture_output=True).stdout)
    print("| updates | epsilon | loss, members | loss, others | AUC by loss | AUC by loss against base |")
    print("|---|---|---|---|---|---|")
    for name, row in zip(["(base model)", *policies], told, strict=True):
        noise = policies.get(name, {}).get("noise_multiplier", 0.0)
        epsilon = epsilon_of(update_distance(noise) * arguments.rounds**0.5, DELTA) if noise else None
        aucs = [f"{one['auc']:.3f} ({one['low']:.3f} to {one['high']:.3f})" for one in row["attacks"]]
        losses = f"{row['members_loss']:.3f} | {row['others_loss']:.3f}"
        cells = [name, "none" if epsilon is None else f"{epsilon:,.1f}", losses, *aucs, *[""] * (2 - len(aucs))]
        print(f"| {' | '.join(cells)} |")


def train(name: str, policy: Policy, folder: Path) -> Path:
    """Train an adapter as a run with one site would; return its folder."""
    from supernode.trainer.privacy_ledger import PrivacyLedger
    from supernode.trainer.protection import Protection
    from supernode.trainer.service import ResidentTrainer

    base, place = obtain(DEFAULT_BASE_MODEL), folder / name.replace(" ", "-")
    place.mkdir()
    settings = TrainerSettings(
        *("bench", "general-nlp", folder / "members.jsonl", base.directory, base.name),
        state=place,
        socket=place / "t.sock",
        policy=policy,
        tokens_at_once=2048,
    )
    site, protection, began = ResidentTrainer(settings), Protection(policy, PrivacyLedger(place)), time.monotonic()
    recipe, spec, norms = policy.recipes[0], site.adapter.spec, []
    vector = initial_adapter(spec, seed=0)
    for number in range(1, recipe.rounds + 1):
        delta, figures, _ = site.train(recipe, vector, number, lambda: False)
        norms.append(float(np.linalg.norm(delta)))
        vector = vector + protection.apply(delta, site.adapter.held > 0)
        print(f"{name}: round {number}, loss {figures.loss:.3f}, norm {norms[-1]:.3f}", file=sys.stderr)
    adapter = place / "adapter"
    adapter.mkdir()
    write_adapter(vector, spec, adapter)
    (adapter / "spec.json").write_text(spec.to_json())
    print(f"{name}: {time.monotonic() - began:.0f} s, {spec.size} values", file=sys.stderr)
    return adapter


if __name__ == "__main__":
    main()

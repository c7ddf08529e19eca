"""Whether a lossy codec costs quality: held-out loss after 20 rounds against fp32's, of 3 seeds (gate Q of B1).

A federation of two sites in this process: a LoRA of rank 8 on q and v, the medical samples divided in two, and their
held-out records. All arms of a seed begin with the same adapter, and their sites train on the same records in the same
order. An arm is UPLOAD or UPLOAD/BROADCAST, with error feedback where the upload is lossy; ``-none`` behind UPLOAD
leaves that out, to show what it is for.
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from paired import digits

from fedlora.domains import domain
from fedlora.language_model import DEFAULT_BASE_MODEL, obtain
from fedlora.recipes import recipe as recipe_of
from fedlora.shards import read_records, write_records
from fedlora.wire import codec_named
from fedlora.wire.spec import Vector
from superlink.initialisation import initial_adapter
from superlink.strategies import WeightedMean
from supernode.trainer.error_feedback import Residue
from supernode.trainer.settings import Policy, TrainerSettings

SITES = 2


class Federation:
    """Two sites that share one model in memory, and a coordinator.

    Parameters
    ----------
    rounds, steps, batch : int
        Of the training.
    model : str
        The base model, as a federation's file names it.
    folder : Path
        For its files.
    """

    def __init__(self, rounds: int, steps: int, batch: int, model: str, folder: Path) -> None:
        os.environ.update(OMP_WAIT_POLICY="PASSIVE", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
        from supernode.trainer.service import ResidentTrainer

        medical, base = domain("medical"), obtain(model)
        self.rounds = rounds
        self.recipe = recipe_of(
            *("medical", "quick"),
            rounds=rounds,
            steps=steps,
            batch=batch,
            length=128,
            rank=8,
            alpha=16,
            target_modules=("q_proj", "v_proj"),
            compute_precision="bf16",
        )
        trainers = []
        for part in ("train", "eval"):
            write_records(read_records(medical.sample(part), medical), folder / f"{part}.jsonl")
            trainers.append(
                ResidentTrainer(
                    TrainerSettings(
                        *("bench", "medical", folder / f"{part}.jsonl", base.directory, base.name),
                        state=folder / part,
                        socket=folder / "t.sock",
                        policy=Policy((self.recipe,)),
                    )
                )
            )
        self.trainer, self.held_out = trainers[0], trainers[1].examples
        self.adapter = self.trainer.adapter
        self.shards = [
            [self.trainer.examples[row] for row in range(site, self.trainer.records, SITES)] for site in range(SITES)
        ]

    def run(self, upload: str, broadcast: str, seed: int) -> float:
        """Return the held-out loss after all rounds."""
        from supernode.trainer.training import train_round

        upload, _, feedback = upload.partition("-")
        up, down = codec_named(upload), codec_named(broadcast)
        spec = self.adapter.spec
        adapter, residues = initial_adapter(spec, seed), [Residue(None, spec.size)] * SITES
        for number in range(1, self.rounds + 1):
            got = down.decode(down.encode(adapter), spec.size)
            mean = WeightedMean(spec.size, SITES)
            for site, examples in enumerate(self.shards):
                self.adapter.load(got)
                figures = train_round(
                    *(self.adapter, examples, self.recipe, number),
                    seed=seed,
                    padding=self.trainer.padding,
                    tokens_at_once=512,
                )
                delta = self.adapter.change(got)
                sent = up.decode(up.encode(residues[site].added_to(delta)), spec.size)
                if not up.lossless and feedback != "none":
                    residues[site] = Residue(residues[site].after(delta, sent), spec.size)
                mean.add(site, sent, figures.examples)
            adapter = (adapter.astype(np.float64) + mean.mean()).astype(np.float32)
        return self.loss(adapter)

    def loss(self, adapter: Vector) -> float:
        """Return the mean cross entropy of the answers' tokens of the held-out records."""
        import torch

        from supernode.trainer.examples import batches, collate
        from supernode.trainer.training import _summed_loss

        self.adapter.load(adapter)
        self.adapter.model.eval()
        with torch.no_grad():
            parts = [collate(part, self.trainer.padding) for part in batches(self.held_out, 512)]
            total = sum(_summed_loss(self.adapter, part, self.recipe).item() for part in parts)
        return total / sum(example.answer_length for example in self.held_out)


def verdict(arm: str, losses: Sequence[float], exact: Sequence[float]) -> dict[str, object]:
    """Hold an arm's losses to those of fp32 by the gate."""
    error = statistics.stdev(exact) / math.sqrt(len(exact))
    gaps = [one - other for one, other in zip(losses, exact, strict=True)]
    return {
        "figure": f"held-out loss, {arm} against fp32",
        "losses": [digits(loss) for loss in losses],
        "exact": [digits(loss) for loss in exact],
        "mean_gap": digits(statistics.mean(gaps)),
        "largest_gap": digits(max(gaps, key=abs)),
        "standard_error_of_fp32": digits(error),
        "goal": "mean gap at most one standard error of fp32",
        "met": statistics.mean(gaps) <= error,
    }


def main() -> None:
    """Measure, and print each arm's verdict as a line of JSON."""
    parser = argparse.ArgumentParser(description="Whether lossy codecs cost quality.")
    parser.add_argument("--arms", nargs="+", default=["bf16", "int8", "int4", "int4/bf16", "int8/int8", "int4-none"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--base-model", default=DEFAULT_BASE_MODEL)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fedlora-bench-") as name:
        federation = Federation(options.rounds, options.steps, options.batch, options.base_model, Path(name))
        start = federation.loss(initial_adapter(federation.adapter.spec, seed=0))
        print(json.dumps({"figure": "held-out loss before training", "loss": digits(start)}), flush=True)
        exact: list[float] = []
        for arm in ("fp32", *options.arms):
            upload, _, broadcast = arm.partition("/")
            losses = []
            for seed in range(options.seeds):
                began = time.perf_counter()
                losses.append(federation.run(upload, broadcast or "fp32", seed))
                print(f"{arm}, seed {seed}: {losses[-1]:.4f}, {time.perf_counter() - began:.0f} s", file=sys.stderr)
            exact = exact or losses
            print(json.dumps(verdict(arm, losses, exact)), flush=True)


if __name__ == "__main__":
    main()

"""How fast a site trains (B7): ``make bench-train``, on a quiet machine.

The kit's trainer against three peers, each pair of arms on the same records in the same order, with the same adapter,
steps and rate: the recipe of FlowerTune's apps as their template runs it, TRL's SFTTrainer with its defaults, and TRL
with the flags that serve best on this machine. Arms are processes that take turns (``training_arms.py``), and which
begins changes with each pair. What is compared is tokens per second, padding left out.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from paired import digits, ratio
from training_arms import Job, examples_of

from fedlora.domains import DOMAINS, domain
from fedlora.federation import Resources
from fedlora.language_model import obtain
from fedlora.recipes import recipe as recipe_of


@dataclass(frozen=True)
class Comparison:
    """The kit against one peer.

    Attributes
    ----------
    peer : str
        Arm of ``training_arms.py``.
    goal : float
        What the ratio of the tokens per second should be at least.
    recipe : dict
        What both train.
    grouped : bool
        Whether each step's records are of like length, as TRL groups them on request.
    tolerance : float
        How far, relative, the mean losses may be from each other.
    """

    peer: str
    goal: float
    recipe: dict[str, Any]
    grouped: bool = False
    tolerance: float = 0.03  # bf16 is worth 1 to 2 % on answers of two tokens


FLOWERTUNE = {"rank": 32, "alpha": 64, "dropout": 0.075, "target_modules": ("q_proj", "v_proj"), "learning_rate": 5e-5}
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
OURS = {"rank": 16, "alpha": 32, "target_modules": LINEAR, "learning_rate": 2e-4}
COMPARISONS = {
    comparison.peer: comparison
    for comparison in (
        Comparison("flowertune", 10.0, FLOWERTUNE, tolerance=0.06),  # fp32, and other dropout
        Comparison("trl", 1.5, OURS),
        Comparison("trl-tuned", 1.0, OURS, grouped=True),
        Comparison("trl-tuned-sdpa", 1.0, OURS, grouped=True),
        Comparison("trl-padding-free", 1.0, OURS),
        Comparison("trl-buckets", 1.0, OURS, grouped=True),
    )
}


class Arm:
    """An arm's process, which trains a turn when it is told to."""

    def __init__(self, name: str, file: Path) -> None:
        program = [sys.executable, str(Path(__file__).parent / "training_arms.py"), name, str(file)]
        self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.name = name

    def read(self) -> dict[str, Any]:
        """Return the next line that it says."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"arm {self.name} ended with {self.process.wait()}; what it said stands above")
        said: dict[str, Any] = json.loads(line)
        return said

    def turn(self) -> tuple[float, float]:
        """Let it train a turn; return the seconds that took, by the clock and of processors."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        said = self.read()
        return float(said["seconds"]), float(said["cpu_seconds"])


@contextmanager
def arm(name: str, file: Path) -> Iterator[Arm]:
    """Start an arm; end it, whatever happens."""
    started = Arm(name, file)
    try:
        assert started.read() == {"ready": True}
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def rows_of_steps(lengths: Sequence[int], batch: int, steps: int, *, grouped: bool) -> list[list[int]]:
    """Return the records of each step: shuffled passes over all of them, in steps of like length if so asked."""
    generator, rows = random.Random(0), []
    while len(rows) < batch * steps:
        rows += generator.sample(range(len(lengths)), len(lengths))
    del rows[batch * steps :]
    if grouped:
        rows.sort(key=lambda row: lengths[row])
    made = [rows[at : at + batch] for at in range(0, len(rows), batch)]
    generator.shuffle(made)
    return made


def compare(comparison: Comparison, job: Job, pairs: int) -> Iterator[str]:
    """Yield the figures of a comparison; the first turn of each arm warms up and does not count."""
    names, lengths = ("kit", comparison.peer), [len(example.ids) for example in examples_of(job)]
    turns = [job.rows[at : at + job.turn] for at in range(0, len(job.rows), job.turn)]
    tokens = [sum(lengths[row] for step in turn for row in step) for turn in turns]
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with ExitStack() as both:
        file = Path(both.enter_context(tempfile.TemporaryDirectory())) / "job.json"
        file.write_text(json.dumps(asdict(job)), encoding="utf-8")
        arms = {name: both.enter_context(arm(name, file)) for name in names}
        for pair in range(pairs + 1):
            for name in names if pair % 2 else reversed(names):
                seconds[name].append(arms[name].turn())
            taken = ", ".join(f"{name} {seconds[name][-1][0]:.1f} s" for name in names)
            print(f"pair {pair} of {pairs}: {tokens[pair]} tokens; {taken}", file=sys.stderr)
        ends = {name: arms[name].read() for name in names}
    for at, unit in enumerate(("second", "processor second")):
        ours, theirs = (
            [count / spent[at] for count, spent in zip(tokens[1:], seconds[name][1:], strict=True)] for name in names
        )
        yield ratio(f"tokens per {unit}, kit / {comparison.peer}", ours, theirs, f"at least {comparison.goal}")
        if not at:
            yield share_of_matrix_rate(ends["kit"], sum(tokens), statistics.median(ours))
    yield alike(comparison, ends["kit"], ends[comparison.peer], sum(tokens))


def alike(comparison: Comparison, ours: dict[str, Any], theirs: dict[str, Any], tokens: int) -> str:
    """Return, as a line of JSON, whether both arms learned the same by their mean loss, and what memory they took."""
    figures = {
        "figure": f"losses and memory, kit and {comparison.peer}",
        **{name: [digits(ours[name]), digits(theirs[name])] for name in ("first_loss", "loss")},
        "alike": abs(ours["loss"] / theirs["loss"] - 1) <= comparison.tolerance,
        "tolerance": comparison.tolerance,
        "peak_mib": [ours["peak_mib"], theirs["peak_mib"]],
        "kit_padding_share": digits(1 - tokens / ours["padded_tokens"]),
    }
    return json.dumps(figures)


def share_of_matrix_rate(end: dict[str, Any], tokens: int, speed: float) -> str:
    """Return, as a line of JSON, how much of what the machine's matrix products reach a step uses."""
    used = end["flop"] / tokens * speed
    figures = {
        "figure": "share of the machine's bf16 matrix rate",
        "share": digits(used / end["matrix_rate"]),
        "used_gflops": digits(used / 1e9),
        "matrix_rate_gflops": digits(end["matrix_rate"] / 1e9),
        "tokens_per_second": digits(speed),
    }
    return json.dumps(figures)


def job_of(comparison: Comparison, options: argparse.Namespace) -> Job:
    """Return what both arms of a comparison train."""
    steps, sample = options.turn * (options.pairs + 1), domain(options.domain).sample("train")
    recipe = recipe_of(options.domain, "quick", steps=steps, final_learning_rate=1e-6, **comparison.recipe)
    job = Job(
        model=str(obtain().directory),
        records=str(options.records or sample),
        domain=options.domain,
        recipe=asdict(recipe),
        rows=[],
        turn=options.turn,
        threads=options.threads,
        tokens_at_once=options.tokens_at_once,
    )
    lengths = [len(example.ids) for example in examples_of(job)]
    return replace(job, rows=rows_of_steps(lengths, recipe.batch, steps, grouped=comparison.grouped))


def main() -> None:
    """Measure, and print each figure as a line of JSON."""
    parser = argparse.ArgumentParser(description="How fast a site trains, against its peers.")
    parser.add_argument("--pairs", type=int, default=12, help="turns that count, of each arm")
    parser.add_argument("--turn", type=int, default=2, help="optimiser steps a turn")
    parser.add_argument("--peers", nargs="+", choices=COMPARISONS, default=["flowertune", "trl", "trl-tuned"])
    parser.add_argument("--domain", choices=DOMAINS, default="finance")
    parser.add_argument("--records", type=Path, help="a file of records, instead of the domain's samples")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--tokens-at-once", type=int, default=Resources.tokens_at_once)
    options = parser.parse_args()
    print(f"load: {os.getloadavg()}", file=sys.stderr)
    for peer in options.peers:
        for line in compare(COMPARISONS[peer], job_of(COMPARISONS[peer], options), options.pairs):
            print(line, flush=True)


if __name__ == "__main__":
    main()

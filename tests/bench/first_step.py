"""How soon a site's training begins (B8), and whether its memory grows: the second half of ``make bench-train``.

A message reaches the resident trainer over its socket, from the second round on; against it, a fresh process imports
the same code, loads the same base model, tokenises the same records and takes the same step. They take turns, and which
begins changes with each pair. The trainer's call counts whole, with its one step, the answer and the journal.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from paired import digits, ratio

from fedlora.config import read_toml
from fedlora.domains import domain
from fedlora.federation import Resources
from fedlora.language_model import obtain
from fedlora.phases import Phase, figure
from fedlora.recipes import Recipe
from fedlora.recipes import recipe as recipe_of
from fedlora.settings_file import write_settings
from fedlora.shards import read_records, write_records
from fedlora.wire import AdapterSpec, encode
from superlink.initialisation import initial_adapter
from supernode.trainer import trainer_pb2
from supernode.trainer.settings import TrainerSettings
from supernode.trainer_client import TrainerClient

ROUNDS, STEPS = 10, 4  # of the run whose memory is looked at
DEADLINE = 600.0


class Resident:
    """A trainer's process, asked over its socket.

    Parameters
    ----------
    folder : Path
        For its files.
    settings : Path
        Its ``trainer.toml``.
    """

    def __init__(self, folder: Path, settings: Path) -> None:
        self.socket = folder / "t.sock"
        self.process = subprocess.Popen([sys.executable, "-m", "supernode.trainer", str(settings)])
        end = time.monotonic() + DEADLINE
        while not self.socket.is_socket():
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the trainer did not start")
            time.sleep(0.1)
        self.client = TrainerClient(self.socket)

    def open(self, recipe: Recipe) -> None:
        """Open a run that trains `recipe`; it has the recipe's name of steps."""
        self.run = f"steps-{recipe.steps}"
        self.spec = AdapterSpec.from_json(self.client.describe(recipe.sha256, seconds=DEADLINE).spec)
        self.vector = initial_adapter(self.spec, seed=0)
        request = trainer_pb2.ConfigureRequest(
            run=self.run,
            epoch=1,
            recipe_sha256=recipe.sha256,
            spec_sha256=self.spec.sha256,
            upload_codec="fp32",
            broadcast_codec="fp32",
        )
        self.client.configure(request, seconds=DEADLINE)

    def train(self, number: int) -> tuple[float, dict[str, float]]:
        """Train round `number`; return the seconds of the whole call, and the answer's figures."""
        message = encode(self.vector, self.spec, kind="global", run=self.run, epoch=1, round_number=number)
        began = time.perf_counter()
        _, figures = self.client.train(self.run, 1, number, message, seconds=DEADLINE)
        return time.perf_counter() - began, figures

    def resident_mib(self) -> float:
        """Return what the process has in memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0


@contextmanager
def trainer(folder: Path, settings: Path) -> Iterator[Resident]:
    """Start a trainer; end it, whatever happens."""
    resident = Resident(folder, settings)
    try:
        yield resident
    finally:
        resident.process.terminate()
        resident.process.wait()


def fresh(settings: Path) -> tuple[float, float]:
    """Let a new process take the first step; return the seconds until its training began, and until it had stepped."""
    began = time.perf_counter()
    program = [sys.executable, __file__, "--fresh", str(settings)]
    done = subprocess.run(program, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told["began"] - began, told["stepped"] - began


def be_fresh(settings: TrainerSettings) -> None:
    """Be that process: import, load, step, and say when."""
    os.environ.update(OMP_NUM_THREADS=str(settings.threads), OMP_WAIT_POLICY="PASSIVE", HF_HUB_OFFLINE="1")
    os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error")
    from supernode.trainer.service import ResidentTrainer

    loaded = ResidentTrainer(settings)
    vector = np.asarray(initial_adapter(loaded.adapter.spec, seed=0))
    began = time.perf_counter()  # the same clock in all processes of a Linux machine
    loaded.train(settings.policy.recipes[0], vector, 1, lambda: False)
    print(json.dumps({"began": began, "stepped": time.perf_counter()}))


def compare(resident: Resident, settings: Path, pairs: int) -> Iterator[str]:
    """Yield the figures of a resident trainer against a fresh process."""
    calls, waits, stepped, began = [], [], [], []
    resident.train(1)
    for pair in range(pairs):
        for arm in ("resident", "fresh") if pair % 2 else ("fresh", "resident"):
            if arm == "resident":
                seconds, figures = resident.train(pair + 2)
                calls.append(seconds)
                waits.append(figures[figure(Phase.QUEUE)] + figures[figure(Phase.LOAD)])
            else:
                begin, step = fresh(settings)
                began.append(begin)
                stepped.append(step)
        print(f"pair {pair + 1} of {pairs}: {calls[-1]:.2f} and {stepped[-1]:.2f} s", file=sys.stderr)
    yield ratio("message to first step done, resident / fresh process", calls, stepped, "at most 0.10")
    yield ratio("message to begin of training, resident / fresh process", waits, began, "at most 0.10")


def memory(resident: Resident) -> str:
    """Return, as a line of JSON, what a trainer has in memory after the second and the last round of a run."""
    after = []
    for number in range(1, ROUNDS + 1):
        resident.train(number)
        after.append(resident.resident_mib())
    figures = {
        "figure": "resident memory of a trainer, MiB",
        "rounds": [digits(mib) for mib in after],
        "growth_2_to_10": digits(after[-1] / after[1] - 1),
        "goal": "at most 0.02",
    }
    return json.dumps(figures)


def main() -> None:
    """Measure, and print each figure as a line of JSON."""
    parser = argparse.ArgumentParser(description="How soon a site's training begins.")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--tokens-at-once", type=int, default=Resources.tokens_at_once)
    parser.add_argument("--fresh", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fresh:
        be_fresh(read_toml(TrainerSettings, options.fresh))
        return
    finance, base = domain("finance"), obtain()
    one = recipe_of("finance", "quick", rounds=options.pairs + 1, steps=1)
    several = recipe_of("finance", "quick", rounds=ROUNDS, steps=STEPS)
    with tempfile.TemporaryDirectory(prefix="fedlora-bench-") as name:
        folder = Path(name)
        write_records(read_records(finance.sample("train"), finance), folder / "records.jsonl")
        values = {
            "site": "bench",
            "domain": "finance",
            "shard": folder / "records.jsonl",
            "base-model": base.directory,
            "base-model-name": base.name,
            "state": folder / "state",
            "socket": folder / "t.sock",
            "threads": options.threads,
            "tokens-at-once": options.tokens_at_once,
            "policy": {"recipes": [one, several], "fewest-examples": 1},
        }
        settings = write_settings(values, folder / "trainer.toml")
        with trainer(folder, settings) as resident:
            resident.open(one)
            for line in compare(resident, settings, options.pairs):
                print(line, flush=True)
            resident.open(several)
            print(memory(resident), flush=True)


if __name__ == "__main__":
    main()

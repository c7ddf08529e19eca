"""A long run, and faults all the way: ``make soak``; ROUNDS= and SEED= for another one.

A federation of three sites as processes, with a tiny random model. While its run goes on, one of the drills that are
blows strikes every few rounds, drawn with the seed. Then the same run without a fault. Fails if the run does, a round
was not aggregated once and in order, or the two adapters differ in a bit; and says what the memory of each part did.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # as pytest has it

from fedlora.cli.drill.process_field import ProcessField
from fedlora.cli.drill.runs import ProcessRuns, Run
from fedlora.cli.federation_file import read
from fedlora.cli.local.board import Board
from fedlora.domains import domain
from fedlora.drills import DRILLS, Place
from fedlora.drills.faults import FAULTS
from fedlora.errors import NotReadyError
from fedlora.processes import free_ports
from superlink.recovery import recovered_at, recovery
from superlink.runs import RunState
from tests.tiny_model import write_tiny_model

SITES = {"bank": "finance", "clinic": "medical", "lab": "code"}
BLOWS = [drill for drill in DRILLS.values() if drill.kind == "kill" and Place.PROCESS in drill.needs]
FEWEST, MOST = 2, 6  # rounds between two blows
LOOK_SECONDS, SAMPLE_SECONDS, STILL_SECONDS = 0.2, 2.0, 120.0
SETTLED_SECONDS = 15.0  # of a process's life, after which its memory is looked at
MEBI = 2**20


def fedlora(folder: Path, *arguments: str) -> None:
    """Call the command line in a folder."""
    subprocess.run([sys.executable, "-m", "fedlora", *arguments], cwd=folder, check=True)


def write_federation(folder: Path, rounds: int, steps: int) -> Path:
    """Write the federation's file with its shards, and return it."""
    fleet, http, metrics, *runtime = free_ports(6)
    lines = [
        f'name = "soak"\nbase-model = "{write_tiny_model(folder / "model")}"\n[coordinator]\nhost = "127.0.0.1"',
        f'machine = "here"\nfleet-port = {fleet}\nhttp-port = {http}\nmetrics-port = {metrics}',
        f"[run]\ndomains = {json.dumps(list(SITES.values()))}\nmin-sites = 3\n[keeper]\nsilent-seconds = 8.0",
        f'[[recipe]]\ndomain = "finance"\npreset = "quick"\nrounds = {rounds}\nsteps = {steps}',
        "length = 48\nbatch = 4\nrank = 4",
    ]
    for (name, held), port in zip(SITES.items(), runtime, strict=True):
        fedlora(folder, "shard", "import", str(domain(held).sample("train")), f"shards/{name}", "--domain", held)
        lines.append(f'[[site]]\nname = "{name}"\ndomain = "{held}"\nshard = "shards/{name}"\nmachine = "here"')
        lines.append(f"runtime-port = {port}\nmetrics-port = 0")
    file = folder / "federation.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


class Memory:
    """What the parts of a federation take, by part: seconds since the soak began, and MiB of all its processes."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.began = self.last = time.monotonic()

    def look(self) -> None:
        """Take a sample, if it is time for one."""
        now = time.monotonic()
        if now - self.last < SAMPLE_SECONDS:
            return
        self.last = now
        resident = _resident_by_group()
        for part in self.board.read().parts:
            if part.pid in resident and time.time() - part.since > SETTLED_SECONDS:
                self.taken[part.name].append((now - self.began, resident[part.pid] / MEBI))

    def report(self) -> list[str]:
        """Return a line for each part: its median in the first third of its samples, and in the last."""
        lines = []
        for part, samples in sorted(self.taken.items()):
            third = max(1, len(samples) // 3)
            first, last = (
                statistics.median(taken for _, taken in some) for some in (samples[:third], samples[-third:])
            )
            lines.append(f"  {part:<20} {first:8.1f} MiB, then {last:8.1f} MiB; n = {len(samples)}")
        return lines


def _resident_by_group() -> dict[int, float]:
    found: dict[int, float] = defaultdict(float)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            group = int((process / "stat").read_text().rpartition(")")[2].split()[2])
            found[group] += int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        except OSError:
            continue
    return found


def soak(field: ProcessField, runs: ProcessRuns, name: str, dice: random.Random, memory: Memory) -> list[str]:
    """Submit a run and strike all through it; return what each blow was, and how long the run took to get over it."""
    struck: list[tuple[str, float, str]] = []
    runs.submit(name, [])
    due, done, since = dice.randint(FEWEST, MOST), 0, time.monotonic()
    while not (found := runs.look(name)).state.ended:
        memory.look()
        aggregated = sum(row.state == "aggregated" for row in found.rounds)
        if aggregated > done:
            done, since = aggregated, time.monotonic()
        if time.monotonic() - since > STILL_SECONDS:
            raise NotReadyError(f"no round for {STILL_SECONDS:.0f} s after {struck[-1:]}; {found.attempts[-1:]}")
        if aggregated >= due and _is_under_way(found):
            drill, site = dice.choice(BLOWS), dice.choice(list(SITES))
            try:
                at = time.time()
                FAULTS[drill.kind](field, drill, site, name).begin()
            except NotReadyError:  # the part is down at this moment: the next round will do
                continue
            struck.append((drill.name, at, site if drill.of_a_site else ""))
            print(f"- after {aggregated} rounds: {drill.name} {struck[-1][2]}", file=sys.stderr, flush=True)
            due = aggregated + dice.randint(FEWEST, MOST)
        time.sleep(LOOK_SECONDS)
    return [
        f"{drill} {(recovered_at(found.rounds, found.turns, at, site) or float('nan')) - at:.1f}"
        for drill, at, site in struck
    ]


def _is_under_way(run: Run) -> bool:
    under_way = {(row.number, row.epoch) for row in run.rounds if row.state == "training"}
    return any(turn.outcome == "asked" and turn.tries and (turn.round, turn.epoch) in under_way for turn in run.turns)


def check(run: Run, rounds: int) -> None:
    """Raise unless every round was aggregated once, in order, with every site."""
    aggregated = [row.number for row in run.rounds if row.state == "aggregated"]
    counted = {(row.number, row.epoch) for row in run.rounds if row.state == "aggregated"}
    lost = [turn for turn in run.turns if (turn.round, turn.epoch) in counted and turn.outcome != "answered"]
    assert run.state is RunState.COMPLETED, (run.state, run.reason)
    assert aggregated == list(range(1, rounds + 1)), aggregated
    assert not lost, lost


def main() -> None:
    """Soak, and print what it has shown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=8, help="of training in a round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        folder = Path(place)
        file = write_federation(folder, options.rounds, options.steps)
        federation = read(file, []).federation
        field, runs = ProcessField(federation), ProcessRuns(file, [])
        fedlora(folder, "up")
        try:
            memory, began = Memory(field.board), time.monotonic()
            struck = soak(field, runs, "soak", random.Random(options.seed), memory)
            took = time.monotonic() - began
            found = runs.look("soak")
            check(found, options.rounds)
            runs.submit("calm", [])
            while not runs.look("calm").state.ended:
                time.sleep(LOOK_SECONDS)
            assert runs.adapter_sha256("soak") == runs.adapter_sha256("calm"), "the adapters differ"
        finally:
            fedlora(folder, "down", "--yes")
    cost = recovery(found.attempts, found.rounds, found.turns, 0.0)
    print(
        f"soak, seed {options.seed}: {options.rounds} rounds, none lost, in {took:.0f} s; the adapter has the bits of"
    )
    print(
        f"the run without a fault. {len(struck)} blows, {cost.attempts} attempts, {cost.rounds_lost} rounds begun again"
    )
    print(f"payload {cost.payload_bytes / MEBI:.1f} MiB, of it wasted {cost.bytes_wasted / MEBI:.1f} MiB")
    print(f"seconds until a round was aggregated: {'; '.join(struck)}")
    print("memory, in the first third of the samples and in the last:")
    print("\n".join(memory.report()))


if __name__ == "__main__":
    main()

"""How rounds grow with the number of nodes: ``make bench-scale``, on a quiet machine with 16 GiB free.

The kit with 2, 8 and 32 real SuperNodes whose trainers are stubs (``round_arms.py``), one after the other: seconds of a
round, processor time and memory of the coordinator's processes, and what an idle SuperLink takes. All nodes share the
machine's cores with the coordinator, so that seconds are the sum of everybody's work.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from paired import digits
from round_arms import Arm, Kit, Shape, arm

SMALL = Shape(layers=60, rank=4, width=960)  # 120 tensors, 1.76 MiB
COORDINATOR = ("superlink", "superexec")  # the ServerApp is a child of the second
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figures:
    """What was measured with so many nodes.

    Attributes
    ----------
    nodes : int
        SuperNodes.
    round_seconds : float
        Median over rounds, but for the first.
    coordinator_seconds : float
        Processor time of SuperLink and ServerApp for each round, the run's begin and end shared among them.
    coordinator_mib : float
        Largest resident memory of SuperLink and ServerApp together.
    idle_share : float
        Of a core, that the SuperLink takes while no run is on.
    """

    nodes: int
    round_seconds: float
    coordinator_seconds: float
    coordinator_mib: float
    idle_share: float


def processor_seconds(pids: list[int]) -> float:
    """Return the processor time of processes and of their children that have ended."""
    return sum(sum(map(int, _stat(pid)[11:15])) for pid in pids) / TICK


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()


def tree(pids: list[int]) -> list[int]:
    """Return processes and all below them."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
            except OSError:
                continue
    found = list(pids)
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid and child not in found]
    return found


def resident_mib(pids: list[int]) -> float:
    """Return the resident memory of processes."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        except OSError:
            continue
    return total * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def peak(pids: list[int]) -> Iterator[list[float]]:
    """Yield a list whose last element becomes the largest resident memory of processes and all below them."""
    found, ended = [0.0], threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            found.append(max(found[-1], resident_mib(tree(pids))))

    thread = threading.Thread(target=look)
    thread.start()
    yield found
    ended.set()
    thread.join()


def measure(one: Arm, nodes: int, rounds: int, idle_seconds: float) -> Figures:
    """Measure a federation that has just been started."""
    pids = {part.name: part.process.pid for part in one.parts.started if part.name in COORDINATOR}
    before = processor_seconds([pids["superlink"]])
    time.sleep(idle_seconds)
    idle = (processor_seconds([pids["superlink"]]) - before) / idle_seconds
    before = processor_seconds(list(pids.values()))
    with peak(list(pids.values())) as memory:
        times = one.run(rounds, "scale")
    spent = processor_seconds(list(pids.values())) - before
    seconds = [after - begin for begin, after in itertools.pairwise(times[1:])]
    return Figures(nodes, statistics.median(seconds), spent / rounds, memory[-1], idle)


def draw(figures: list[Figures], slope: float, file: Path) -> None:
    """Draw seconds, processor time and memory by the number of nodes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    nodes = [one.nodes for one in figures]
    panels = (
        ("seconds of a round", [one.round_seconds for one in figures]),
        ("coordinator: processor seconds a round", [one.coordinator_seconds for one in figures]),
        ("coordinator: memory, MiB", [one.coordinator_mib for one in figures]),
        ("idle SuperLink: share of a core", [one.idle_share for one in figures]),
    )
    figure, axes = pyplot.subplots(1, len(panels), figsize=(13, 3.2), layout="constrained")
    for panel, (title, values) in zip(axes, panels, strict=True):
        panel.plot(nodes, values, marker="o", color="#20639b")
        panel.set(title=title, xlabel="nodes", ylim=(0, None), xticks=nodes)
        panel.title.set_fontsize(9)
        panel.grid(alpha=0.3)
    figure.suptitle(f"Rounds without work, adapter of 1.76 MiB: {slope:.3f} s more for each node", fontsize=10)
    figure.savefig(file)


def main() -> None:
    """Measure, print each figure as a line of JSON, and draw them."""
    parser = argparse.ArgumentParser(description="How rounds grow with the number of nodes.")
    parser.add_argument("--nodes", type=int, nargs="+", default=[2, 8, 32])
    parser.add_argument("--rounds", type=int, default=5, help="of each run; the first one warms up")
    parser.add_argument("--idle-seconds", type=float, default=30.0)
    parser.add_argument("--picture", type=Path, help="file to draw into")
    options = parser.parse_args()
    print(json.dumps({"load": [digits(one) for one in os.getloadavg()]}), file=sys.stderr)
    found = []
    for nodes in options.nodes:
        with (
            tempfile.TemporaryDirectory(prefix="fedlora-bench-") as folder,
            arm(Kit, Path(folder) / "kit", SMALL, nodes=nodes) as one,
        ):
            found.append(measure(one, nodes, options.rounds, options.idle_seconds))
        print(json.dumps({name: digits(value) for name, value in asdict(found[-1]).items()}), flush=True)
    least, most = found[0], found[-1]
    slope = (most.round_seconds - least.round_seconds) / (most.nodes - least.nodes) if len(found) > 1 else 0.0
    middle = least.round_seconds + slope * (found[len(found) // 2].nodes - least.nodes)
    line = {
        "figure": "seconds of a round for each further node",
        "slope": digits(slope),
        "of_a_straight_line_in_the_middle": digits(found[len(found) // 2].round_seconds / middle) if middle else None,
        "goal": "at most linear",
    }
    print(json.dumps(line))
    if options.picture:
        draw(found, slope, options.picture)


if __name__ == "__main__":
    main()

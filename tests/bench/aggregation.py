"""How fast, in how much memory, and how exactly updates are aggregated (B5, B6): ``make bench-aggregation``.

Speed: the kit's `WeightedMean`, Flower's own aggregation of the same tensors, and numpy's sum, which reads every value
once, take turns in one process; which begins changes with each pair. What is compared is bytes of updates per second.
Memory: the peak of a process that makes updates one after the other and folds them in, one process for each number.
Exactness: how far the new factors' product is from the mean of the sites' products, in fp64.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from paired import digits, ratio

from fedlora.strategies import STRATEGIES
from fedlora.wire import AdapterSpec, TensorSpec
from fedlora.wire.spec import Vector
from superlink.strategies import WeightedMean, new_strategy

MIB = 2**20
POOL = 8  # different updates; more of them are these again, so that the machine's memory does for any number
TENSORS = 128
ARMS = ("kit", "flower", "read")


def adapter_spec(modules: int, rank: int, inputs: int, outputs: int) -> AdapterSpec:
    """Return the spec of an adapter of equal modules."""
    tensors = []
    for number in range(modules):
        name = f"base_model.model.layers.{number:03d}.q_proj"
        tensors += [
            TensorSpec(f"{name}.lora_A.weight", (rank, inputs)),
            TensorSpec(f"{name}.lora_B.weight", (outputs, rank)),
        ]
    return AdapterSpec("0", "bench", "t" * 64, "b" * 64, "finance/quick", "r" * 64, "lora", 2 * rank, tuple(tensors))


def some_updates(count: int, size: int, seed: int = 0) -> list[Vector]:
    """Return updates of random values."""
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(size, dtype=np.float32) * np.float32(1e-3) for _ in range(count)]


def fold(updates: list[Vector], count: int) -> None:
    """Aggregate as the kit does."""
    mean = WeightedMean(updates[0].size, count)
    for position in range(count):
        mean.add(position, updates[position % len(updates)], 100 + position)
    mean.mean()


def flower_records(updates: list[Vector]) -> list[object]:
    """Return the updates as the replies that Flower aggregates, 128 tensors each."""
    from flwr.app import ArrayRecord, MetricRecord, RecordDict

    return [
        RecordDict(
            {
                "arrays": ArrayRecord(list(np.array_split(update, TENSORS))),
                "metrics": MetricRecord({"num-examples": 100 + number}),
            }
        )
        for number, update in enumerate(updates)
    ]


def flower(records: list[object], count: int) -> None:
    """Aggregate as Flower does."""
    from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

    aggregate_arrayrecords([records[at % len(records)] for at in range(count)], "num-examples")  # type: ignore[misc]


def read(updates: list[Vector], count: int) -> None:
    """Read every value once."""
    for position in range(count):
        updates[position % len(updates)].sum()


def speed(mebibytes: int, count: int, pairs: int) -> Iterator[str]:
    """Yield how the kit's bytes per second are to Flower's and to numpy's; the first turn warms up."""
    updates = some_updates(min(POOL, count), mebibytes * MIB // 4)
    records = flower_records(updates)
    calls: dict[str, Callable[[], None]] = {
        "kit": lambda: fold(updates, count),
        "flower": lambda: flower(records, count),
        "read": lambda: read(updates, count),
    }
    rates: dict[str, list[float]] = {name: [] for name in ARMS}
    for pair in range(pairs + 1):
        for name in ARMS if pair % 2 else reversed(ARMS):
            started = time.perf_counter()
            calls[name]()
            if pair:
                rates[name].append(count * mebibytes * MIB / (time.perf_counter() - started) / 1e9)
    of = f"GB/s, {count} updates of {mebibytes} MiB"
    yield ratio(f"{of}, kit / flwr's aggregate_arrayrecords", rates["kit"], rates["flower"], "at least 10")
    yield ratio(f"{of}, kit / numpy's sum", rates["kit"], rates["read"], "at least 0.5")


def peak(arm: str, mebibytes: int, count: int) -> float:
    """Return the peak MiB of a process that aggregates so many different updates."""
    program = [sys.executable, __file__, "--peak", arm, str(mebibytes), str(count)]
    return float(subprocess.run(program, check=True, capture_output=True, text=True).stdout)


def take_memory(arm: str, mebibytes: int, count: int) -> float:
    """Aggregate, in this process; return its peak in MiB."""
    size = mebibytes * MIB // 4
    if arm == "kit":
        mean = WeightedMean(size, count)
        for position in range(count):
            mean.add(position, some_updates(1, size, position)[0], 100)
        mean.mean()
    else:
        flower([flower_records(some_updates(1, size, position))[0] for position in range(count)], count)
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # getrusage would begin at the parent's own peak
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def memory(mebibytes: int, counts: list[int], arms: tuple[str, ...]) -> Iterator[str]:
    """Yield the peaks of each number of updates, and the last against the first."""
    for arm in arms:
        peaks = [peak(arm, mebibytes, count) for count in counts]
        figures = {
            "figure": f"peak MiB of {arm}, updates of {mebibytes} MiB",
            "updates": counts,
            "peaks": [digits(value) for value in peaks],
            "last_to_first": digits(peaks[-1] / peaks[0]),
            "goal": "at most 1.1 of the kit",
        }
        yield json.dumps(figures)


def exactness(sites: int, rank: int) -> Iterator[str]:
    """Yield each strategy's error of the product, relative to the mean product, in Frobenius norms over all modules."""
    spec, generator = adapter_spec(8, rank, 576, 1536), np.random.default_rng(0)
    start = generator.normal(0, 0.04, spec.size).astype(np.float32)
    weights = [int(weight) for weight in generator.integers(50, 500, sites)]
    updates = [generator.normal(0, 0.01, spec.size).astype(np.float32) for _ in weights]
    errors = {
        f"{name}{f', round {number}' if name == 'rolora' else ''}": error(spec, name, number, start, updates, weights)
        for name in ("fedavg", "ffa-lora", "rolora", "flexlora")
        for number in ((1, 2) if name == "rolora" else (1,))
    }
    for name, found in errors.items():
        exact = STRATEGIES[name.partition(",")[0]].product == "exact"
        figures = {
            "figure": f"error of the mean product, {sites} sites, rank {rank}: {name}",
            "error": digits(found),
            "to_fedavg": digits(found / errors["fedavg"]),
            "goal": "at most 1e-3 of fedavg's" if exact else "",
        }
        yield json.dumps(figures)


def error(spec: AdapterSpec, name: str, number: int, start: Vector, updates: list[Vector], weights: list[int]) -> float:
    """Return a strategy's error after one round of what its sites would send of these updates."""
    part = spec.trained(str(STRATEGIES[name].recipe.get("factors", "both")), number)
    strategy = new_strategy(name, {}, "lora")
    collected = strategy.begin(part.size, len(updates))
    sent = [spec.cut(update, part) for update in updates]
    for position, update in enumerate(sent):
        collected.add(position, update, weights[position])
    merged = spec.replaced(start, part, strategy.merge(spec.cut(start, part), collected, part))
    # What a site holds, in fp64: start plus what it trained, so that fp32's rounding is an error of ours.
    whole = [spec.replaced(np.zeros_like(start), part, update).astype(np.float64) + start for update in sent]
    shares = np.array(weights) / sum(weights)
    distance = norm = 0.0
    for at, product in enumerate(products(spec, merged.astype(np.float64))):
        mean = sum(share * products(spec, site)[at] for share, site in zip(shares, whole, strict=True))
        distance, norm = distance + float(((product - mean) ** 2).sum()), norm + float((mean**2).sum())
    return float(np.sqrt(distance / norm))


def products(spec: AdapterSpec, vector: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> list[np.ndarray]:
    """Return B A of each module."""
    views = dict(spec.views(vector))  # type: ignore[arg-type]
    return [views[name.replace("lora_A", "lora_B")] @ views[name] for name in views if "lora_A" in name]


def main() -> None:
    """Measure, and print each figure as a line of JSON."""
    parser = argparse.ArgumentParser(description="How updates are aggregated: speed, memory, exactness.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[13, 52], help="MiB of an update")
    parser.add_argument("--updates", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--pairs", type=int, default=10, help="turns that count, of each arm")
    parser.add_argument("--sites", type=int, default=8, help="of the exactness")
    parser.add_argument("--peak", nargs=3, metavar=("ARM", "MIB", "UPDATES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        arm, mebibytes, count = options.peak
        print(take_memory(arm, int(mebibytes), int(count)))
        return
    print(f"load: {os.getloadavg()}, cores: {len(os.sched_getaffinity(0))}", file=sys.stderr)
    for line in exactness(options.sites, 16):
        print(line, flush=True)
    for size in options.sizes:
        arms = ("kit", "flower") if size == min(options.sizes) else ("kit",)  # Flower holds all of them
        for line in memory(size, options.updates, arms):
            print(line, flush=True)
        for count in options.updates:
            for line in speed(size, count, options.pairs):
                print(line, flush=True)


if __name__ == "__main__":
    main()

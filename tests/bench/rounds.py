"""What a round costs that does no work: ``make bench-rounds``, on a quiet machine.

The kit against Flower 1.39 as its templates use it, both with TLS, node authentication and a database, on the same
machine, taking turns; which begins changes with each pair (``round_arms.py``).

- B1: bytes that pass between a node and the SuperLink in a round, both ways, TLS included, in each codec. Updates are
  made up of normal values; what entropy coding makes of trained ones, ``wire_bytes.py`` shows.
- B2: seconds of a round with two nodes and an adapter of 120 tensors.
- B3: the same with one node behind a road of 50 ms: calls that carry a round, and the seconds they take.
- B4: an adapter of 52 MiB: bytes a second between node and SuperLink, beside a plain TLS stream of as many.
- concurrency: the same adapter with 1, 2, 4 and 8 objects on their way at once, of which 2 is what Flower and the kit
  have, on a short road and on the long one.
"""

import argparse
import itertools
import json
import os
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from paired import digits, ratio
from round_arms import Arm, Kit, Shape, Stock, arm

from fedlora import pki

SMALL = Shape(layers=60, rank=4, width=960)  # 120 tensors, 1.76 MiB
LARGE = Shape(layers=112, rank=16, width=3803)  # 224 tensors, 52 MiB
WIRE_GOALS = {
    "fp32": "none",
    "fp32z": "at least 1.18",
    "bf16": "at least 2.0",
    "bf16z": "at least 2.8",
    "int8": "at least 4.0",
    "int4": "at least 8.0",
}
AT_ONCE, FLOWERS = (1, 2, 4, 8), 2
OBJECTS_AT_ONCE = ("FLWR_PRIVATE_MAX_CONCURRENT_OBJ_PUSHES", "FLWR_PRIVATE_MAX_CONCURRENT_OBJ_PULLS")
AROUND = {"SendNodeHeartbeat", "ActivateNode", "DeactivateNode", "RegisterNode", "GetRun", "GetFab"}


class Transfer(NamedTuple):
    """How one message came and its answer went, at a node."""

    calls: int
    seconds: float


def transfers(calls: Sequence[dict[str, float]], rounds: int) -> list[Transfer]:
    """Return what the last `rounds` messages took, from the one that brought each to the last of its answer.

    The time between a message and its answer, in which the node computes and looks for answers, is left out.
    """
    of_messages = [call for call in calls if call["call"] not in AROUND]
    starts = [at for at, call in enumerate(of_messages) if call["call"] == "PullMessages" and call["messages"]]
    found = []
    for begin, end in zip(starts, [*starts[1:], len(of_messages)], strict=True):
        part = [call for call in of_messages[begin:end] if call["call"] != "PullMessages" or call["messages"]]
        down = [call for call in part if call["call"] in ("PullMessages", "PullObject", "ConfirmMessageReceived")]
        up = [call for call in part if call["call"] in ("PushMessages", "PushObject")]
        if up:
            seconds = max(call["ended"] for call in down) - down[0]["began"]
            seconds += max(call["ended"] for call in up) - min(call["began"] for call in up)
            found.append(Transfer(len(part), seconds))
    return found[-rounds:]


class Figures(NamedTuple):
    """The medians of one arm's run."""

    round_seconds: float
    calls: float
    transfer_seconds: float


def measure(one: Arm, rounds: int, name: str) -> Figures:
    """Run a run; its first round warms up."""
    times = one.run(rounds, name)
    passed = [transfer for site in one.sites for transfer in transfers(one.calls(site), rounds - 1)]
    return Figures(
        statistics.median(after - before for before, after in itertools.pairwise(times[1:])),
        statistics.median(transfer.calls for transfer in passed),
        statistics.median(transfer.seconds for transfer in passed),
    )


def compare(
    shape: Shape, pairs: int, rounds: int, *, nodes: int, milliseconds: float | None = None
) -> Iterator[list[Figures]]:
    """Yield the figures of the kit's and of stock's run, pair by pair."""
    with tempfile.TemporaryDirectory(prefix="fedlora-bench-") as folder, ExitStack() as both:
        arms = [
            both.enter_context(arm(kind, Path(folder) / kind.name, shape, nodes=nodes, milliseconds=milliseconds))
            for kind in (Kit, Stock)
        ]
        for pair in range(1, pairs + 1):
            found: dict[str, Figures] = {}
            for one in arms if pair % 2 else reversed(arms):
                found[one.name] = measure(one, rounds, f"pair-{pair}")
                print(f"pair {pair} of {pairs}: {one.name}: {found[one.name]}", file=sys.stderr, flush=True)
            yield [found[one.name] for one in arms]


def bytes_on_the_wire(options: argparse.Namespace) -> Iterator[str]:
    """Yield B1."""
    with tempfile.TemporaryDirectory(prefix="fedlora-bench-") as name, ExitStack() as both:
        kit = both.enter_context(arm(Kit, Path(name) / "kit", SMALL, nodes=1, milliseconds=0))
        stock = both.enter_context(arm(Stock, Path(name) / "stock", SMALL, nodes=1, milliseconds=0))
        ours: dict[str, list[float]] = {codec: [] for codec in WIRE_GOALS}
        theirs: list[float] = []
        for pair in range(1, options.pairs + 1):
            for codec, taken in ours.items():
                taken.append(round_bytes(kit, partial(kit.run, codec=codec), options.rounds, f"{codec}-{pair}"))
            theirs.append(round_bytes(stock, stock.run, options.rounds, f"pair-{pair}"))
            figures = {codec: taken[-1] for codec, taken in ours.items()}
            print(f"pair {pair} of {options.pairs}: {figures}, stock {theirs[-1]}", file=sys.stderr, flush=True)
    for codec, goal in WIRE_GOALS.items():
        yield ratio(f"bytes of a node and round, stock / kit in {codec}", theirs, ours[codec], goal)


def round_bytes(one: Arm, run: Callable[[int, str], object], rounds: int, name: str) -> float:
    """Return the bytes of a round: what a run of more rounds carries beyond one of a single round."""
    before = one.carried()
    run(1, f"{name}-short")
    between = one.carried()
    run(1 + rounds, f"{name}-long")
    return (one.carried() - between - (between - before)) / rounds


def rounds_without_work(options: argparse.Namespace) -> Iterator[str]:
    """Yield B2."""
    made = list(compare(SMALL, options.pairs, options.rounds, nodes=2))
    ours, theirs = ([pair[which].round_seconds for pair in made] for which in (0, 1))
    yield ratio("seconds of a round without work, kit / stock", ours, theirs, "at most 0.08, aim 0.04")


def long_road(options: argparse.Namespace) -> Iterator[str]:
    """Yield B3."""
    made = list(compare(SMALL, options.pairs, options.rounds, nodes=1, milliseconds=options.milliseconds))
    road = f"with {options.milliseconds:.0f} ms of round trip"
    kit, stock = ([pair[which].calls for pair in made] for which in (0, 1))
    yield ratio(f"calls that carry a round, stock / kit, {road}", stock, kit, "at least 30")
    kit, stock = ([pair[which].transfer_seconds for pair in made] for which in (0, 1))
    yield ratio(f"seconds of transfer, stock / kit, {road}", stock, kit, "at least 5")


def goodput(options: argparse.Namespace) -> Iterator[str]:
    """Yield B4."""
    size, streams = 2 * 4 * LARGE.values, []
    ours, theirs = [], []
    for kit, stock in compare(LARGE, options.pairs, options.rounds, nodes=1):
        ours.append(size / kit.transfer_seconds / 1e6)
        theirs.append(size / stock.transfer_seconds / 1e6)
        streams.append(tls_stream(size) / 1e6)
    yield ratio("MB/s between node and SuperLink, kit / stock", ours, theirs, "at least 2")
    yield ratio("MB/s, kit / a plain TLS stream", ours, streams, "for information")


def concurrency(options: argparse.Namespace) -> Iterator[str]:
    """Yield what more objects at once are worth."""
    for milliseconds in (None, options.milliseconds):
        road = "straight" if milliseconds is None else f"with {milliseconds:.0f} ms of round trip"
        seconds: dict[int, list[float]] = {number: [] for number in AT_ONCE}
        with tempfile.TemporaryDirectory(prefix="fedlora-bench-") as folder, ExitStack() as all_of_them:
            arms = {}
            for number in AT_ONCE:
                os.environ.update(dict.fromkeys(OBJECTS_AT_ONCE, str(number)))  # what all parts of the arm start with
                started = arm(Kit, Path(folder) / str(number), LARGE, nodes=1, milliseconds=milliseconds)
                arms[number] = all_of_them.enter_context(started)
            for pair in range(1, options.pairs + 1):
                for number in AT_ONCE if pair % 2 else reversed(AT_ONCE):
                    figures = measure(arms[number], options.rounds, f"pair-{pair}")
                    seconds[number].append(figures.transfer_seconds)
                    print(f"pair {pair} of {options.pairs}: {number}: {figures}", file=sys.stderr, flush=True)
        for variable in OBJECTS_AT_ONCE:
            del os.environ[variable]
        for number in AT_ONCE:
            if number != FLOWERS:
                name = f"seconds of transfer, {number} objects at once / {FLOWERS}, {road}"
                yield ratio(name, seconds[number], seconds[FLOWERS], "for information")


def tls_stream(size: int) -> float:
    """Return the bytes a second of `size` bytes from one thread to another through TLS over loopback."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = pki.create_authority(folder, federation="bench")
        serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        serving.load_cert_chain(*pki.issue_server_certificate(authority, folder, names=["127.0.0.1"]))
        asking = ssl.create_default_context(cafile=str(authority.certificate_file))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address, block = listener.getsockname(), bytes(2**20)

            def send() -> None:
                with serving.wrap_socket(listener.accept()[0], server_side=True) as out:
                    for _ in range(size // len(block)):
                        out.sendall(block)

            thread = threading.Thread(target=send)
            thread.start()
            with asking.wrap_socket(socket.create_connection(address), server_hostname="127.0.0.1") as incoming:
                began, there, buffer = time.perf_counter(), 0, bytearray(2**20)
                while got := incoming.recv_into(buffer):
                    there += got
                seconds = time.perf_counter() - began
            thread.join()
    return there / seconds


BENCHES = {"B1": bytes_on_the_wire, "B2": rounds_without_work, "B3": long_road, "B4": goodput}
FURTHER = {"concurrency": concurrency}


def main() -> None:
    """Measure, and print each figure as a line of JSON."""
    parser = argparse.ArgumentParser(description="What a round costs that does no work.")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=4, help="of each run; the first one warms up")
    parser.add_argument("--milliseconds", type=float, default=50.0, help="round trip of the long road")
    parser.add_argument("--only", nargs="+", choices=BENCHES | FURTHER, default=list(BENCHES))
    options = parser.parse_args()
    print(json.dumps({"load": [digits(one) for one in os.getloadavg()]}), file=sys.stderr)
    for name in options.only:
        for line in (BENCHES | FURTHER)[name](options):
            print(line, flush=True)


if __name__ == "__main__":
    main()

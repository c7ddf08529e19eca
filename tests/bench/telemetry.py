"""What telling costs (B11): ``make bench-telemetry``.

Two federations of one site each, alike but for this: the one exports everything, is scraped every second at the
coordinator and at the site, and its site tells all figures in its answers; the other exports nothing and tells nothing.
They train the same rounds in turns, and which begins changes with each pair. What training takes is counted in
processor seconds: a shared machine makes equal runs differ by a tenth and more by the clock. Beside that, scrapes of an
exporter with over 1,000 series are timed while the ledger behind it is written to.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from paired import digits, ratio

from fedlora.cli.local.federation import LocalFederation
from fedlora.cli.local.supervisor import start
from fedlora.domains import domain
from fedlora.federation import Coordinator, Federation, Keeper, Paths, Resources, Site, SitePolicy
from fedlora.metrics.processes import process_samples
from fedlora.processes import Parts, free_ports
from fedlora.recipes import recipe as recipe_of
from fedlora.settings_file import write_settings
from fedlora.shards import read_records
from fedlora.shards.records import write_records
from superlink.ledger import Ledger, TurnRow
from superlink.run_config import RunConfig
from superlink.runs import RunFolder, RunState, verdict

SCRAPE_SECONDS = 1.0
MANY_SITES, MANY_ROUNDS = 28, 50  # of the ledger behind the scrapes
SCRAPES = 300
CONTROL = 240_000  # squares summed: about as long as a scrape
PARTS = ("supernode", "trainer")
OF_PARTS = ("cpu_seconds_total", "resident_memory_bytes", "threads", "open_files", "disk_size_bytes", "disk_free_bytes")


def say(line: str) -> None:
    """Say what is done now."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def federation(folder: Path, *, tells: bool, rounds: int, steps: int) -> Iterator[LocalFederation]:
    """Run a federation, with or without all that telling takes."""
    fleet, http, runtime, metrics, site_metrics = free_ports(5)
    (folder / "logs").mkdir(parents=True)
    write_records(read_records(domain("finance").sample("train"), domain("finance")), folder / "records.jsonl")
    site = Site(
        "site-1",
        "finance",
        folder / "records.jsonl",
        machine="here",
        runtime_port=runtime,
        metrics_port=site_metrics if tells else 0,
        resources=Resources(threads=1),
        policy=SitePolicy() if tells else SitePolicy(figures=()),
    )
    described = Federation(
        name="bench",
        coordinator=Coordinator(
            "127.0.0.1",
            machine="here",
            fleet_port=fleet,
            http_port=http,
            runs=folder / "runs",
            metrics_port=metrics if tells else 0,
        ),
        site=(site,),
        recipe=(recipe_of("finance", "quick", rounds=rounds, steps=steps),),
        keeper=Keeper(fruitless=1),
        paths=Paths(state=folder / "state"),
    )
    with tempfile.TemporaryDirectory(prefix="fedlora-") as sockets, Parts(folder / "logs") as parts:
        local = LocalFederation(described, parts, Path(sockets))
        start(local, say)
        yield local


@contextmanager
def scraped(local: LocalFederation) -> Iterator[None]:
    """Scrape every exporter of a federation once a second, if it has any."""
    ended = threading.Event()
    ports = [local.federation.coordinator.metrics_port, *(site.metrics_port for site in local.federation.site)]

    def scrape(port: int) -> None:
        while not ended.wait(SCRAPE_SECONDS):
            fetch(port)

    threads = [threading.Thread(target=scrape, args=(port,)) for port in ports if port]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def fetch(port: int) -> int:
    """Scrape once; return the number of series."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return int(response.read().count(b"\nfedlora_"))


def answers(port: int) -> bool:
    """Whether an exporter answers at a port yet."""
    try:
        return fetch(port) > 0
    except OSError:
        return False


def train(local: LocalFederation, name: str) -> list[TurnRow]:
    """Run one run to its end; return its turns."""
    folder = RunFolder(local.federation.coordinator.runs, name)
    folder.submit(RunConfig.of(local.federation, name))
    while not (now := verdict(folder)).state.ended:
        local.parts.check()
        time.sleep(0.5)
    if now.state is not RunState.COMPLETED:
        raise SystemExit(f"run {name}: {now}")
    ledger = Ledger(folder.ledger, readonly=True)
    try:
        return ledger.turns()
    finally:
        ledger.close()


def processor_seconds(local: LocalFederation) -> dict[str, float]:
    """Return what each part of a federation has computed so far, with the processes below it."""
    return {part.name: process_samples(part.name, part.process.pid)[0].value for part in local.parts.started}


class Arm:
    """One of the two federations, and what its runs took."""

    def __init__(self, local: LocalFederation) -> None:
        self.local = local
        self.speeds: list[float] = []  # records for each processor second of the trainer
        self.everything: list[float] = []  # processor seconds of all parts
        self.round_trips: list[float] = []

    def run(self, name: str) -> None:
        """Run one run and keep what it took."""
        with scraped(self.local):
            before = processor_seconds(self.local)
            turns = train(self.local, name)
            after = processor_seconds(self.local)
        taken = {part: after[part] - before[part] for part in before}
        # Records, not tokens: how many tokens a round had, a site that tells nothing does not tell; they are the same.
        self.speeds.append(sum(turn.examples for turn in turns) / taken["site-1-trainer"])
        self.everything.append(sum(taken.values()))
        self.round_trips.append(statistics.median(turn.round_trip_seconds or 0.0 for turn in turns if turn.round > 1))


def compare(pairs: int, rounds: int, steps: int) -> Iterator[str]:
    """Yield the figures of telling against not telling."""
    with tempfile.TemporaryDirectory(prefix="fedlora-bench-") as folder, ExitStack() as both:
        tells, silent = (
            Arm(both.enter_context(federation(Path(folder) / name, tells=name == "tells", rounds=rounds, steps=steps)))
            for name in ("tells", "silent")
        )
        for arm in (tells, silent):
            train(arm.local, "warm")
        for pair in range(1, pairs + 1):
            for arm in (tells, silent) if pair % 2 == 0 else (silent, tells):
                arm.run(f"pair-{pair}")
            say(
                f"pair {pair} of {pairs}: {tells.speeds[-1]:.3f} and {silent.speeds[-1]:.3f} records a processor second"
            )
    yield ratio(
        "records a processor second of the trainer, telling / silent", tells.speeds, silent.speeds, "at least 0.99"
    )
    yield ratio("round trip seconds, telling / silent", tells.round_trips, silent.round_trips, "at most 1.01")
    yield ratio(
        "processor seconds of all parts, telling / silent", tells.everything, silent.everything, "none: for information"
    )


def time_scrapes() -> str:
    """Return, as a line of JSON, what scrapes take, from the question to the last byte of the exporter's answer."""
    with tempfile.TemporaryDirectory(prefix="fedlora-bench-") as folder, Parts(Path(folder)) as parts:
        runs, port = Path(folder) / "runs", free_ports(1)[0]
        runs.mkdir()
        ledger = fill(RunFolder(runs, "many"), [f"site-{number}" for number in range(1, MANY_SITES + 1)])
        none = Path(folder) / "none"
        settings = {"listen": f"127.0.0.1:{port}", "runs": runs, "ca-certificate": none, "server-certificate": none}
        file = write_settings(settings, Path(folder) / "exporter.toml")
        parts.start("exporter", [sys.executable, "-m", "superlink.exporter", str(file)], {})
        parts.wait_until(lambda: answers(port), "the exporter", 60)
        seconds: list[float] = []
        alone: list[float] = []
        series, before = 0, process_samples("exporter", parts.started[0].process.pid)[0].value
        for _ in range(SCRAPES):
            ledger.note_alive(1)  # so that the exporter has to look again
            began = time.perf_counter()
            series = fetch(port)
            seconds.append(time.perf_counter() - began)
            time.sleep(0.02)
            began = time.perf_counter()
            sum(number * number for number in range(CONTROL))
            alone.append(time.perf_counter() - began)
        computed = process_samples("exporter", parts.started[0].process.pid)[0].value - before
        ledger.close()
    figures = {
        "figure": "seconds of a scrape",
        "series": series,
        "scrapes": SCRAPES,
        **spread(seconds),
        "processor": digits(computed / SCRAPES),
        "goal": "p99 at most 0.05 at 1,000 series",
        # What the machine adds: as much arithmetic, in turns with the scrapes, that waits for nothing.
        "arithmetic": spread(alone),
    }
    return json.dumps(figures)


def spread(seconds: list[float]) -> dict[str, float]:
    """Return median and 99th percentile."""
    return {
        "median": digits(statistics.median(seconds)),
        "p99": digits(statistics.quantiles(seconds, n=100)[98]),
    }


def fill(folder: RunFolder, sites: list[str]) -> Ledger:
    """Write a run of many rounds and sites into its ledger, which stays open."""
    values = {"epoch": 1, "domain": "finance", "seed": 0, "deadline": 60.0, "min_sites": 1, "join_timeout": 60.0}
    folder.submit(
        RunConfig(run=folder.name, sites=",".join(sites), rounds=MANY_ROUNDS, recipe_sha256="r" * 64, **values)  # type: ignore[arg-type]
    )
    ledger, generator = Ledger(folder.ledger), random.Random(0)
    ledger.start_attempt(1, 7)
    for number in range(1, MANY_ROUNDS + 1):
        ledger.start_round(number, 1, sites)
        ledger.sent(number, 1, sites, 10**6)
        for site in sites:
            phases = {phase: generator.random() for phase in ("queue", "load", "train", "encode", "transfer")}
            ledger.end_turn(TurnRow(number, 1, site, "answered", "", 1, 0, 32, 1.0, 9.0, 2000, 0, 10**6, phases))
        with ledger.fence(1):
            ledger.end_round(number, 1, "aggregated", {"wait": 9.0})
    told = {f'fedlora_{name}{{part="{part}"}}': 1.0 for part in PARTS for name in OF_PARTS}
    for name in ("messages_total", "wire_bytes_total"):
        told |= {f'fedlora_{name}{{direction="{way}",run="{folder.name}"}}': 1.0 for way in ("down", "up")}
    for site in sites:
        ledger.report(site, told, 0.1)
    return ledger


def main() -> None:
    """Measure, and print each figure as a line of JSON."""
    parser = argparse.ArgumentParser(description="What exporting and scraping cost.")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    print(time_scrapes(), flush=True)
    for line in compare(options.pairs, options.rounds, options.steps):
        print(line, flush=True)


if __name__ == "__main__":
    main()

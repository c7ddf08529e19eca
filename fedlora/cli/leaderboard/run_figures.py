"""What a run's ledger says of its cost, for an entry; what nobody has told is left out."""

import math
from collections.abc import Iterable

from evaluator.leaderboard.manifest import RunFigures
from fedlora.adapters import Adapter
from fedlora.cli.adapter.facts import run_facts
from fedlora.config import keyed
from fedlora.metrics.sample import Sample
from superlink.cost import run_cost
from superlink.ledger import Ledger, Report
from superlink.runs import RunFolder

__all__ = ["run_figures"]

PEAK, RESIDENT = "fedlora_gpu_memory_peak_bytes", "fedlora_resident_memory_bytes"


def run_figures(folder: RunFolder, adapter: Adapter) -> RunFigures:
    """Return the figures of a run, and the rounds up to its adapter."""
    config, recipe, facts = folder.config(epoch=1), folder.recipe, run_facts(folder, adapter, names=False)
    ledger = Ledger(folder.ledger, readonly=True)
    attempts, turns, reports = ledger.attempts(), ledger.turns(), ledger.reports()
    cost = run_cost(
        folder.name, config.site_names, attempts=attempts, rounds=ledger.rounds(), turns=turns, reports=reports
    )
    ledger.close()
    wire = (cost.all.wire_bytes_down, cost.all.wire_bytes_up)
    told = {site: reports[site] for site in config.site_names if site in reports}
    return RunFigures(
        name=folder.name,
        strategy=facts.strategy,
        rounds=facts.rounds,
        clients=len(config.site_names),
        fraction=config.fraction,
        seed=config.seed,
        upload_codec=config.upload_codec,
        broadcast_codec=config.broadcast_codec,
        recipe=keyed(vars(recipe)) if recipe else {},
        payload_bytes=cost.payload_bytes if turns else None,
        wire_bytes=None if wire[0] is None or wire[1] is None else int(wire[0] + wire[1]),
        seconds=sum((one.ended_at or one.seen_at) - one.started_at for one in attempts) if attempts else None,
        train_seconds=cost.all.train_seconds,
        gpu_seconds=cost.all.gpu_seconds,
        gpu_joules=cost.all.gpu_joules,
        gpu_peak_bytes=_most(told.values(), PEAK, {}),
        resident_bytes=_most(told.values(), RESIDENT, {"part": "trainer"}),
    )


def _most(reports: Iterable[Report], name: str, labels: dict[str, str]) -> int | None:
    """Return the largest value that a site has told; that of its GPUs is their sum."""
    told = [[one.value for one in report.samples if _fits(one, name, labels)] for report in reports]
    sums = [int(math.fsum(values)) for values in told if values]
    return max(sums, default=None)


def _fits(sample: Sample, name: str, labels: dict[str, str]) -> bool:
    return sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())

"""The series of a run: every figure of its ledger as samples. Sums are SQLite's, so a long run costs no more to ask."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from fedlora.errors import by_name
from fedlora.metrics import Sample
from fedlora.phases import Phase
from superlink.ledger import Ledger
from superlink.run_config import RunConfig
from superlink.runs import RunState
from superlink.screening import OUTLIERS, outlying

__all__ = ["standing_series", "told_series", "work_mark", "work_series"]

OUTCOMES = ("answered", "refused", "failed", "late", "lost")
ROUND_STATES = ("training", "aggregated", "failed", "discarded")
OWN = ("fedlora_payload_bytes_total",)  # told by nodes as well; here the ledger's own count stands


def standing_series(config: RunConfig, state: RunState, submitted_at: float, ledger: Ledger | None) -> list[Sample]:
    """Return the samples that say where a run stands: what changes with every sign of life.

    Parameters
    ----------
    config : RunConfig
        What was submitted.
    state : RunState
        Where it stands.
    submitted_at : float
        In seconds since 1970.
    ledger : Ledger, optional
        None before the keeper has begun with it.
    """
    run = {"run": config.run}
    samples = [Sample("fedlora_run_state", float(state is one), {**run, "state": one.value}) for one in RunState]
    samples += [
        Sample("fedlora_run_submitted_timestamp_seconds", submitted_at, run),
        Sample("fedlora_run_rounds", float(config.rounds), run),
        *_limits(config),
    ]
    if ledger is not None:
        for part in (_attempts, _budget, _flower):
            samples += part(config, ledger)
    return samples


def work_series(config: RunConfig, ledger: Ledger) -> list[Sample]:
    """Return the samples of a run's rounds and turns; they are the same as long as `work_mark` is."""
    return [sample for part in (_rounds, _newest_round, _turns, _training) for sample in part(config, ledger)]


def work_mark(ledger: Ledger) -> tuple[Any, ...]:
    """Return what changes whenever a round or a turn does, or a node tells something; costs a fraction of all sums."""
    turns = "SELECT COUNT(*), SUM(tries), SUM(dropped), SUM(bytes_up), SUM(outcome != 'asked') FROM turns"
    rounds = "SELECT COUNT(*), SUM(ended_at IS NOT NULL), SUM(state = 'discarded') FROM rounds"
    told = "SELECT COUNT(*), MAX(at) FROM reports"
    return tuple(ledger.read(question)[0] for question in (turns, rounds, told))


def told_series(ledger: Ledger, run: str) -> Iterator[tuple[float, Sample]]:
    """Yield what the run's nodes have told, each sample with its time; other runs' figures are not theirs to tell."""
    for site, report in ledger.reports().items():
        yield report.at, Sample("fedlora_node_told_timestamp_seconds", report.at, {"node": site})
        for sample in report.samples:
            if sample.name not in OWN and sample.labels.get("run", run) == run:
                yield report.at, sample.of(site)
        if report.clock_skew is not None:
            yield report.at, Sample("fedlora_node_clock_skew_seconds", report.clock_skew, {"node": site})


def _limits(config: RunConfig) -> Iterator[Sample]:
    for resource, limit in _budgets(config).items():
        yield Sample("fedlora_run_budget", limit, {"run": config.run, "resource": resource})


def _budgets(config: RunConfig) -> dict[str, float]:
    """Return the limits that there are."""
    limits = {"bytes": config.budget_bytes, "rounds": config.budget_rounds, "seconds": config.budget_seconds}
    return {resource: float(limit) for resource, limit in limits.items() if limit}


def _attempts(config: RunConfig, ledger: Ledger) -> Iterator[Sample]:
    run = {"run": config.run}
    ((attempts, forecast),) = ledger.read(
        "SELECT COUNT(*), (SELECT forecast_bytes FROM attempts WHERE forecast_bytes IS NOT NULL "
        "ORDER BY epoch DESC LIMIT 1) FROM attempts"
    )
    yield Sample("fedlora_run_attempts_total", attempts, run)
    if forecast is not None:
        yield Sample("fedlora_run_forecast_bytes", forecast, run)


def _budget(config: RunConfig, ledger: Ledger) -> Iterator[Sample]:
    spending = ledger.spending()
    ((seconds,),) = ledger.read("SELECT COALESCE(MAX(COALESCE(ended_at, seen_at)) - MIN(started_at), 0) FROM attempts")
    used = {"bytes": spending.bytes, "rounds": spending.rounds, "seconds": seconds}
    for resource, limit in _budgets(config).items():
        labels = {"run": config.run, "resource": resource}
        yield Sample("fedlora_run_budget_used_ratio", used[resource] / limit, labels)


def _rounds(config: RunConfig, ledger: Ledger) -> Iterator[Sample]:
    run = {"run": config.run}
    counts = dict(ledger.read("SELECT state, COUNT(*) FROM rounds GROUP BY state"))
    for state in ROUND_STATES:
        yield Sample("fedlora_rounds_total", counts.get(state, 0), {**run, "state": state})
    yield Sample("fedlora_run_rounds_aggregated", counts.get("aggregated", 0), run)
    for phase, seconds in ledger.read("SELECT phase, SUM(seconds) FROM phases WHERE site IS NULL GROUP BY phase"):
        yield Sample("fedlora_round_phase_seconds_total", seconds, {**run, "phase": phase})
    # A sum passes over what is NULL: a loss that a site did not tell.
    aggregated = ledger.read(
        "SELECT ended_at - started_at, SUM(loss * examples) / SUM(examples * (loss IS NOT NULL)) FROM rounds "
        "LEFT JOIN turns ON round = number AND turns.epoch = rounds.epoch AND outcome = 'answered' "
        "WHERE rounds.state = 'aggregated' GROUP BY number ORDER BY number"
    )
    if aggregated:
        seconds, loss = aggregated[-1]
        yield Sample("fedlora_round_seconds", seconds, run)
        yield Sample("fedlora_round_training_loss_rises", _rises([loss for _, loss in aggregated]), run)
        if loss is not None:
            yield Sample("fedlora_round_training_loss", loss, run)


def _rises(losses: list[float | None]) -> int:
    """Return how many of the last losses are each above the one before."""
    steps = [later is not None and earlier is not None and later > earlier for earlier, later in pairwise(losses)]
    return next((count for count, rose in enumerate(reversed(steps)) if not rose), len(steps))


def _newest_round(config: RunConfig, ledger: Ledger) -> Iterator[Sample]:
    run, rule = {"run": config.run}, config.participation
    newest = ledger.read("SELECT number, epoch, started_at FROM rounds ORDER BY epoch DESC, number DESC LIMIT 1")
    for number, epoch, started_at in newest:
        yield Sample("fedlora_run_round", number, run)
        yield Sample("fedlora_round_started_timestamp_seconds", started_at, run)
        outcomes = Counter(outcome for (outcome,) in ledger.read(OF_ROUND.format("outcome"), (number, epoch)))
        stages = {
            "wanted": rule.wanted,
            "sampled": outcomes.total(),
            "answered": outcomes["answered"],
            "refused": outcomes["refused"],
        }
        for stage, sites in stages.items():
            yield Sample("fedlora_round_participants", sites, {**run, "stage": stage})
    ended = ledger.read(
        "SELECT number, epoch FROM rounds WHERE state != 'training' ORDER BY epoch DESC, number DESC LIMIT 1"
    )
    for place in ended:
        answered = [
            site for site, outcome in ledger.read(OF_ROUND.format("site, outcome"), place) if outcome == "answered"
        ]
        updates = Counter(rule.domains[site] for site in answered if site in rule.domains)
        for domain in sorted(set(rule.domains.values())):
            yield Sample("fedlora_round_domain_updates", updates[domain], {**run, "domain": domain})


OF_ROUND = "SELECT {} FROM turns WHERE round = ? AND epoch = ?"


def _turns(config: RunConfig, ledger: Ledger) -> Iterator[Sample]:
    run = {"run": config.run}
    counts = {
        (site, outcome): number
        for site, outcome, number in ledger.read("SELECT site, outcome, COUNT(*) FROM turns GROUP BY site, outcome")
    }
    sites = sorted({site for site, _ in counts})
    for site in sites:
        for outcome in OUTCOMES:
            labels = {**run, "node": site, "outcome": outcome}
            yield Sample("fedlora_turns_total", counts.get((site, outcome), 0), labels)
    sums = "SELECT site, SUM(bytes_down), SUM(bytes_up), SUM(examples), SUM(tokens) FROM turns GROUP BY site"
    for site, down, up, examples, tokens in ledger.read(sums):
        node = {**run, "node": site}
        for direction, size, codec in (("down", down, config.broadcast_codec), ("up", up, config.upload_codec)):
            labels = {**node, "direction": direction, "codec": codec}
            yield Sample("fedlora_payload_bytes_total", size, labels)
        yield Sample("fedlora_examples_total", examples, node)
        if tokens is not None:
            yield Sample("fedlora_tokens_total", tokens, node)
    by_phase = "SELECT site, phase, SUM(seconds) FROM phases WHERE site IS NOT NULL GROUP BY site, phase"
    for site, phase, seconds in ledger.read(by_phase):
        yield Sample("fedlora_turn_phase_seconds_total", seconds, {**run, "node": site, "phase": phase})
    refusals = Counter(
        (site, _error_name(reason))
        for site, reason in ledger.read("SELECT site, reason FROM turns WHERE outcome = 'refused'")
    )
    for (site, name), number in sorted(refusals.items()):
        yield Sample("fedlora_refusals_total", number, {**run, "node": site, "name": name})


def _error_name(reason: str) -> str:
    """Return the first of our errors that a reason names; a site may have written anything."""
    known = by_name()
    return next((word for word in reason.replace(":", " ").split() if word in known), "other")


def _training(config: RunConfig, ledger: Ledger) -> Iterator[Sample]:
    run, train = {"run": config.run}, str(Phase.TRAIN)
    ((newest,),) = ledger.read("SELECT COALESCE(MAX(number), 0) FROM rounds WHERE state = 'aggregated'")
    last_update = dict(
        ledger.read(
            "SELECT site, MAX(round) FROM turns JOIN rounds ON number = round AND rounds.epoch = turns.epoch "
            "WHERE outcome = 'answered' AND state = 'aggregated' GROUP BY site"
        )
    )
    for (site,) in ledger.read("SELECT DISTINCT site FROM turns"):
        stale = newest - last_update.get(site, 0)
        yield Sample("fedlora_node_rounds_since_update", stale, {**run, "node": site})
    for row in ledger.read(
        # A bare column beside MAX() is that of the row with the maximum.
        "SELECT site, loss, tokens, figures, round, epoch, MAX(epoch * 4294967296 + round) FROM turns "
        "WHERE outcome = 'answered' GROUP BY site"
    ):
        site, loss, tokens, figures, number, epoch, _ = row
        seconds = ledger.read(
            "SELECT seconds FROM phases WHERE round = ? AND epoch = ? AND site = ? AND phase = ?",
            (number, epoch, site, train),
        )
        yield from _newest_turn({**run, "node": site}, loss, tokens, json.loads(figures), seconds)
    yield from _updates(run, ledger)
    for name in ("gpu_seconds", "gpu_joules"):
        sums = f"SELECT site, SUM(figures ->> '{name}') FROM turns GROUP BY site"  # noqa: S608 - one of two words
        for site, value in ledger.read(sums):
            if value is not None:
                yield Sample(f"fedlora_training_{name}_total", value, {**run, "node": site})


def _updates(run: dict[str, str], ledger: Ledger) -> Iterator[Sample]:
    newest: dict[str, dict[str, float]] = {}
    outliers: Counter[tuple[str, str]] = Counter()
    for site, examined in ledger.read("SELECT site, examined FROM turns WHERE examined != '{}' ORDER BY epoch, round"):
        newest[site] = json.loads(examined)
        outliers.update((site, word) for word in outlying(newest[site]))
    for site, examined in newest.items():
        node = {**run, "node": site}
        for figure in ("update_norm", "update_cosine"):
            if figure in examined:
                yield Sample(f"fedlora_{figure}", examined[figure], node)
        for word in OUTLIERS:
            yield Sample("fedlora_update_outliers_total", outliers[site, word], {**node, "figure": word})


def _newest_turn(
    node: dict[str, str], loss: float | None, tokens: int | None, figures: dict[str, float], seconds: list[Any]
) -> Iterator[Sample]:
    if loss is not None:
        yield Sample("fedlora_training_loss", loss, node)
    if tokens and seconds and seconds[0][0] > 0:
        yield Sample("fedlora_tokens_per_second", tokens / seconds[0][0], node)
    if tokens is not None and (padded := figures.get("padded_tokens", 0)) >= tokens > 0:
        yield Sample("fedlora_padding_ratio", 1 - tokens / padded, node)


def _flower(config: RunConfig, ledger: Ledger) -> Iterator[Sample]:
    ((down, up),) = ledger.read("SELECT SUM(flower_bytes_down), SUM(flower_bytes_up) FROM submissions")
    for direction, size in (("down", down), ("up", up)):
        if size is not None:
            labels = {"run": config.run, "direction": direction}
            yield Sample("fedlora_flower_traffic_bytes_total", size, labels)

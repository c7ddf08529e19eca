"""A federation at one moment, as its coordinator's metrics tell it. What they do not tell is None."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedlora.cli.top.history import ROUND_PHASES, TURN_PHASES, History
from fedlora.cli.top.scrape import Scrape

__all__ = ["Budget", "Gpu", "Node", "Run", "View", "look"]

ORDER = ("running", "queued")  # of runs: what goes on comes first
COORDINATOR = "coordinator"  # stands last among the nodes
REFERENCE = "flowertune"  # scoring
NAMING = ("fedlora_node_online", "fedlora_node_info", "fedlora_turns_total", "fedlora_cpu_seconds_total")


@dataclass(frozen=True)
class Budget:
    """What a run may use of something, and which share of it is used."""

    limit: float | None
    used_ratio: float | None


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes
    ----------
    name, state : str
        Which, and where it stands.
    round, rounds, aggregated, attempts : float or None
        Begun last, planned, committed; attempts begun.
    submitted_at, round_started_at, round_seconds : float or None
        In seconds since 1970; what the newest aggregated round took.
    loss : float or None
        Of the newest aggregated round.
    payload_bytes, forecast_bytes : float or None
        Both directions.
    participants, budgets, scores : mapping
        By stage of the newest round; by resource; of ``base`` and ``adapted``.
    phases, turn_phases : mapping
        Seconds by phase, at the coordinator and of the sites' turns.
    phases_recent : bool
        Whether they are of the last rounds, and not of all.
    """

    name: str
    state: str | None
    round: float | None
    rounds: float | None
    aggregated: float | None
    attempts: float | None
    submitted_at: float | None
    round_started_at: float | None
    round_seconds: float | None
    loss: float | None
    payload_bytes: float | None
    forecast_bytes: float | None
    participants: Mapping[str, float]
    budgets: Mapping[str, Budget]
    scores: Mapping[str, float]
    phases: Mapping[str, float]
    turn_phases: Mapping[str, float]
    phases_recent: bool

    @property
    def share(self) -> float | None:
        """Aggregated share of its rounds."""
        return self.aggregated / self.rounds if self.aggregated is not None and self.rounds else None

    @property
    def budget(self) -> tuple[str, float] | None:
        """The budget that is used up most, and how far."""
        used = [(one.used_ratio, what) for what, one in self.budgets.items() if one.used_ratio is not None]
        return (max(used)[1], max(used)[0]) if used else None


@dataclass(frozen=True)
class Gpu:
    """A GPU of a node."""

    number: str
    utilisation_ratio: float | None
    memory_used_bytes: float | None
    memory_bytes: float | None
    power_watts: float | None


@dataclass(frozen=True)
class Node:
    """A site's node, or the coordinator's machine.

    Attributes
    ----------
    name, domain, kit, flower : str or None
        What it is.
    online : bool or None
        Whether the SuperLink holds it for online.
    last_seen_at, told_at : float or None
        In seconds since 1970; the latter is of when all that it tells itself is.
    run : str or None
        The newest run that it takes part in: turns, refusals, loss, tokens, staleness, payload and wire are of it.
    turns, refusals, outliers : mapping
        By outcome; by error; by what updates were outliers.
    loss, tokens_per_second, rounds_since_update : float or None
        Of its newest update.
    payload_bytes_down and others : float or None
        Bytes.
    cpu_cores, memory_bytes, disk_free_ratio : float or None
        Of all of its parts; of the disk that has least.
    gpus : tuple of Gpu
        None where it has none.
    clock_skew_seconds : float or None
        How far its clock is ahead of the coordinator's.
    certificates : mapping
        When each runs out.
    """

    name: str
    domain: str | None
    kit: str | None
    flower: str | None
    online: bool | None
    last_seen_at: float | None
    told_at: float | None
    run: str | None
    turns: Mapping[str, float]
    refusals: Mapping[str, float]
    outliers: Mapping[str, float]
    loss: float | None
    tokens_per_second: float | None
    rounds_since_update: float | None
    payload_bytes_down: float | None
    payload_bytes_up: float | None
    wire_bytes_down: float | None
    wire_bytes_up: float | None
    idle_wire_bytes_down: float | None
    idle_wire_bytes_up: float | None
    cpu_cores: float | None
    memory_bytes: float | None
    disk_free_ratio: float | None
    gpus: tuple[Gpu, ...]
    clock_skew_seconds: float | None
    certificates: Mapping[str, float]


@dataclass(frozen=True)
class View:
    """A federation.

    Attributes
    ----------
    at : float
        The moment, in seconds since 1970.
    kit, flower : str or None
        Versions of the coordinator.
    runs, nodes : tuple
        What goes on first, then the newest; by name, the coordinator last.
    """

    at: float
    kit: str | None
    flower: str | None
    runs: tuple[Run, ...]
    nodes: tuple[Node, ...]


def look(scrape: Scrape, history: History) -> View:
    """Return what a scrape tells, and `history`, which has taken it in."""
    runs = [_run(name, scrape, history) for name in scrape.values_of("run")]
    runs.sort(key=lambda run: -(run.submitted_at or 0.0))
    runs.sort(key=lambda run: ORDER.index(run.state) if run.state in ORDER else len(ORDER))
    names = sorted({name for metric in NAMING for name in scrape.by("node", metric)})
    names.sort(key=lambda name: name == COORDINATOR)
    built = next((labels for labels, _ in scrape.found("fedlora_build_info")), {})
    return View(
        at=scrape.at,
        kit=built.get("kit"),
        flower=built.get("flower"),
        runs=tuple(runs),
        nodes=tuple(_node(name, [run.name for run in runs], scrape, history) for name in names),
    )


def _run(name: str, scrape: Scrape, history: History) -> Run:
    def value(metric: str) -> float | None:
        return scrape.value(f"fedlora_{metric}", run=name)

    limits = scrape.by("resource", "fedlora_run_budget", run=name)
    used = scrape.by("resource", "fedlora_run_budget_used_ratio", run=name)
    states = scrape.by("state", "fedlora_run_state", run=name)
    return Run(
        name=name,
        state=next((state for state, is_it in states.items() if is_it), None),
        round=value("run_round"),
        rounds=value("run_rounds"),
        aggregated=value("run_rounds_aggregated"),
        attempts=value("run_attempts_total"),
        submitted_at=value("run_submitted_timestamp_seconds"),
        round_started_at=value("round_started_timestamp_seconds"),
        round_seconds=value("round_seconds"),
        loss=value("round_training_loss"),
        payload_bytes=value("payload_bytes_total"),
        forecast_bytes=value("run_forecast_bytes"),
        participants=scrape.by("stage", "fedlora_round_participants", run=name),
        budgets={what: Budget(limits.get(what), used.get(what)) for what in limits | used},
        scores=_scores(name, scrape),
        phases=history.phases(ROUND_PHASES, name),
        turn_phases=history.phases(TURN_PHASES, name),
        phases_recent=history.recent(name),
    )


def _scores(name: str, scrape: Scrape) -> dict[str, float]:
    """Return the mean accuracy by model, over what all models were scored in: scorings are never mixed.

    Held-out records come first, then benchmarks as the reference scores them, then what else there is.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}  # scoring, model, benchmark
    for labels, value in scrape.found("fedlora_evaluation_score_ratio", run=name):
        benchmark, model = labels["benchmark"], labels["model"]
        found.setdefault(benchmark.partition(" by ")[2], {}).setdefault(model, {})[benchmark] = value
    for scoring in sorted(found, key=lambda one: (one != "", one != REFERENCE, one)):
        models = found[scoring]
        shared = set.intersection(*(set(benchmarks) for benchmarks in models.values()))
        if len(models) > 1 and shared:
            return {model: sum(of[one] for one in shared) / len(shared) for model, of in models.items()}
    return {}


def _node(name: str, runs: list[str], scrape: Scrape, history: History) -> Node:
    turns = scrape.by("run", "fedlora_turns_total", node=name)
    run = next((one for one in runs if one in turns), None)

    def value(metric: str, **labels: str) -> float | None:
        return scrape.value(f"fedlora_{metric}", node=name, **labels)

    def of_run(metric: str, **labels: str) -> float | None:
        return None if run is None else value(metric, run=run, **labels)

    info = next((labels for labels, _ in scrape.found("fedlora_node_info", node=name)), {})
    online = value("node_online")
    of = {"node": name, "run": run or ""}
    return Node(
        name=name,
        domain=info.get("domain"),
        kit=info.get("kit"),
        flower=info.get("flower"),
        online=None if online is None else bool(online),
        last_seen_at=value("node_last_seen_timestamp_seconds"),
        told_at=value("node_told_timestamp_seconds"),
        run=run,
        turns=scrape.by("outcome", "fedlora_turns_total", **of),
        refusals=scrape.by("name", "fedlora_refusals_total", **of),
        outliers=scrape.by("figure", "fedlora_update_outliers_total", **of),
        loss=of_run("training_loss"),
        tokens_per_second=of_run("tokens_per_second"),
        rounds_since_update=of_run("node_rounds_since_update"),
        payload_bytes_down=of_run("payload_bytes_total", direction="down"),
        payload_bytes_up=of_run("payload_bytes_total", direction="up"),
        wire_bytes_down=of_run("wire_bytes_total", direction="down"),
        wire_bytes_up=of_run("wire_bytes_total", direction="up"),
        idle_wire_bytes_down=value("idle_wire_bytes_total", direction="down"),
        idle_wire_bytes_up=value("idle_wire_bytes_total", direction="up"),
        cpu_cores=history.cpu.get(name),
        memory_bytes=value("resident_memory_bytes"),
        disk_free_ratio=_disk_free(name, scrape),
        gpus=_gpus(name, scrape),
        clock_skew_seconds=value("node_clock_skew_seconds"),
        certificates=scrape.by("certificate", "fedlora_certificate_expiry_timestamp_seconds", node=name),
    )


def _disk_free(node: str, scrape: Scrape) -> float | None:
    """Return the free share of that of its parts' disks which has least."""
    sizes = scrape.by("part", "fedlora_disk_size_bytes", node=node)
    free = scrape.by("part", "fedlora_disk_free_bytes", node=node)
    return min((free[part] / sizes[part] for part in sizes.keys() & free.keys() if sizes[part]), default=None)


def _gpus(node: str, scrape: Scrape) -> tuple[Gpu, ...]:
    figures = ("utilisation_ratio", "memory_used_bytes", "memory_bytes", "power_watts")
    by_figure = {figure: scrape.by("gpu", f"fedlora_gpu_{figure}", node=node) for figure in figures}
    numbers = sorted({number for found in by_figure.values() for number in found})
    return tuple(Gpu(number, *(by_figure[figure].get(number) for figure in figures)) for number in numbers)

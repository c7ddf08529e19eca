"""What a coordinator's exporter says of a federation of two sites in the third round of a run."""

from fedlora.metrics import Sample

__all__ = ["MEBI", "NOW", "samples", "without"]

NOW = 1_800_000_000.0  # 08:00:00 UTC
MEBI = 2.0**20
DAY = 86400.0


def samples() -> list[Sample]:
    """Return all of them."""
    return [*_runs(), *_turns("alpha", 2, 1.25), *_turns("beta", 1, 1.5), *_told(), *_coordinator()]


def without(*beginnings: str) -> list[Sample]:
    """Return those whose metrics' names do not begin so."""
    return [sample for sample in samples() if not sample.name.removeprefix("fedlora_").startswith(beginnings)]


def _gauge(metric: str, value: float, /, **labels: str) -> Sample:
    return Sample(f"fedlora_{metric}", value, labels)


def _runs() -> list[Sample]:
    old = {"run": "older"}
    run = {"run": "tweets"}
    figures = {"run_round": 3, "run_rounds": 10, "run_rounds_aggregated": 2, "run_attempts_total": 1}
    figures |= {"round_seconds": 31.5, "round_training_loss": 1.375, "run_forecast_bytes": 1500 * MEBI}
    figures |= {"run_submitted_timestamp_seconds": NOW - 90, "round_started_timestamp_seconds": NOW - 12}
    stages = {"wanted": 2, "sampled": 2, "answered": 1, "refused": 1}
    phases = {"encode": 1.0, "wait": 90.0, "aggregate": 3.0, "checkpoint": 6.0}
    return [
        *(_gauge("run_state", float(state == "completed"), state=state, **old) for state in ("running", "completed")),
        *(_gauge("run_state", float(state == "running"), state=state, **run) for state in ("running", "completed")),
        _gauge("run_submitted_timestamp_seconds", NOW - DAY, **old),
        *(_gauge(f"run_{what}", 5.0, **old) for what in ("round", "rounds", "rounds_aggregated")),
        _gauge("round_seconds", 130.0, **old),
        *(_gauge("evaluation_score_ratio", it, model=m, benchmark="label accuracy", **old) for m, it in SCORES),
        *(_gauge(name, value, **run) for name, value in figures.items()),
        *(_gauge("round_participants", value, stage=stage, **run) for stage, value in stages.items()),
        *(_gauge("round_phase_seconds_total", value, phase=phase, **run) for phase, value in phases.items()),
        _gauge("run_budget", 700 * MEBI, resource="bytes", **run),
        _gauge("run_budget_used_ratio", 0.32, resource="bytes", **run),
        _gauge("run_budget_used_ratio", 0.85, resource="seconds", **run),
    ]


SCORES = (("base", 0.149), ("adapted", 0.82))


def _turns(node: str, answered: float, loss: float) -> list[Sample]:
    own = {"run": "tweets", "node": node}
    phases = {"load": 2.0, "train": 40.0, "encode": 1.0, "transfer": 7.0}
    return [
        *(_gauge("turns_total", value, outcome=what, **own) for what, value in (("answered", answered), ("late", 0))),
        _gauge("turns_total", 2 - answered, outcome="refused", **own),
        *(_gauge("turn_phase_seconds_total", value, phase=phase, **own) for phase, value in phases.items()),
        _gauge("training_loss", loss, **own),
        _gauge("tokens_per_second", 579.4, **own),
        *(_gauge("payload_bytes_total", 56.125 * MEBI, direction=way, codec="fp32", **own) for way in ("down", "up")),
        *(_gauge("wire_bytes_total", 57.5 * MEBI, direction=way, **own) for way in ("down", "up")),
    ]


FREE = {
    ("alpha", "supernode"): 900.0,
    ("alpha", "trainer"): 410.0,
    ("beta", "supernode"): 70.0,
    ("beta", "trainer"): 70.0,
}


def _told() -> list[Sample]:
    parts = [(node, part) for node in ("alpha", "beta") for part in ("supernode", "trainer")]
    alpha, beta = {"node": "alpha"}, {"node": "beta"}
    return [
        _gauge("node_online", 1.0, **alpha),
        _gauge("node_online", 0.0, **beta),
        _gauge("node_last_seen_timestamp_seconds", NOW, **alpha),
        _gauge("node_last_seen_timestamp_seconds", NOW - 250, **beta),
        *(_gauge("node_told_timestamp_seconds", NOW - 12, node=node) for node in ("alpha", "beta")),
        _gauge("node_info", 1.0, domain="finance", kit="0.1.0", flower="1.39.0", **alpha),
        _gauge("node_info", 1.0, domain="medical", kit="0.1.0", flower="1.39.0", **beta),
        *(_gauge("cpu_seconds_total", 100.0, node=node, part=part) for node, part in parts),
        *(_gauge("resident_memory_bytes", 1050 * MEBI, node=node, part=part) for node, part in parts),
        *(_gauge("disk_size_bytes", 1000.0, node=node, part=part) for node, part in parts),
        *(_gauge("disk_free_bytes", FREE[node, part], node=node, part=part) for node, part in parts),
        _gauge("gpu_utilisation_ratio", 0.93, gpu="0", **alpha),
        _gauge("gpu_memory_used_bytes", 61440 * MEBI, gpu="0", **alpha),
        _gauge("node_clock_skew_seconds", 3.21, **alpha),
        _gauge("node_clock_skew_seconds", -0.4, **beta),
        _gauge("certificate_expiry_timestamp_seconds", NOW + 5.5 * DAY, certificate="ca", **beta),
        _gauge("refusals_total", 1.0, name="PolicyError", run="tweets", **beta),
    ]


def _coordinator() -> list[Sample]:
    own = {"node": "coordinator"}
    return [
        *(_gauge("cpu_seconds_total", 50.0, part=part, **own) for part in ("superlink", "keeper")),
        _gauge("resident_memory_bytes", 312 * MEBI, part="superlink", **own),
        _gauge("disk_size_bytes", 1000.0, part="superlink", **own),
        _gauge("disk_free_bytes", 800.0, part="superlink", **own),
        _gauge("certificate_expiry_timestamp_seconds", NOW + 400 * DAY, certificate="server", **own),
        _gauge("build_info", 1.0, kit="0.1.0", flower="1.39.0"),
    ]

"""The evaluator at the coordinator, without a network: by hand it scores a run's adapter, as a service its rounds."""

from pathlib import Path
from typing import Any

from fedlora.federation import Federation, Resources
from fedlora.rendering.compose.base_model import MODEL, model_name
from fedlora.rendering.compose.service import health, image, kit_service, mount, once

__all__ = ["evaluation_settings", "evaluator", "follower"]

CONFIGURATION, HELD_OUT, SETS = "/etc/fedlora/evaluation.toml", Path("/held-out"), Path("/benchmarks")
THREADS = 2
SHARES = 64  # of 1024, which every other container has: it gets what they leave
KILLED_FIRST = 500  # of 1000, where the machine has no memory left
HEARTBEAT, BATCH_SECONDS = "/tmp/evaluator.heartbeat", 900  # noqa: S108 - of the container's own


def evaluation_settings(federation: Federation, runs: Path) -> dict[str, Any]:
    """Return ``evaluation.toml``: all but the run, which is named when one is scored."""
    return {
        "recipe": federation.run_recipe,
        "records": HELD_OUT,
        "base-model": MODEL,
        "base-model-name": model_name(federation),
        "base-model-sha256": federation.base_model_sha256,
        "runs": runs,
        "threads": THREADS,
    }


def evaluator(federation: Federation, runs: str) -> dict[str, Any]:
    """Return the service; what follows its name on the command line is the run, and the scores go to stdout."""
    program = kit_service(
        image(federation, "evaluator"),
        [],
        memory=Resources.memory,
        cpus=THREADS,
        pids=256,
        profiles=["evaluator"],
        network_mode="none",
        volumes=[
            mount("./evaluation.toml", CONFIGURATION),
            mount("${MODEL}", str(MODEL)),
            mount("${HELD_OUT}", str(HELD_OUT)),
            runs,
        ],
    )
    return once(program) | {"entrypoint": ["tini", "--", "python", "-m", "evaluator", CONFIGURATION]}


def follower(federation: Federation, runs: str, directory: Path) -> dict[str, Any]:
    """Return the service that scores the rounds of all runs in benchmarks, behind everything else on the machine."""
    command = ["fedlora", "benchmark", "follow", SETS, "--runs", directory, "--base-model", MODEL]
    options = ["--every", "${BENCHMARK_ROUNDS:-5}", "--limit", "${BENCHMARK_LIMIT:-0}", "--threads", THREADS]
    return kit_service(
        image(federation, "evaluator"),
        [*command, *options, "--heartbeat", HEARTBEAT],  # type: ignore[list-item]  # made strings of
        memory=Resources.memory,
        cpus=THREADS,
        pids=256,
        profiles=["benchmarks"],
        network_mode="none",
        cpu_shares=SHARES,
        oom_score_adj=KILLED_FIRST,
        # Writable: each run's folder of benchmarks, and what SQLite's readers make beside a ledger.
        volumes=[mount("${MODEL}", str(MODEL)), mount("${BENCHMARKS:-./benchmarks}", str(SETS)), runs],
        healthcheck=health(["python", "-m", "fedlora.heartbeat", HEARTBEAT, str(BATCH_SECONDS)]),
    )

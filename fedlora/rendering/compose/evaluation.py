"""The evaluator at the coordinator: run by hand and without a network, it scores a run's adapter."""

from pathlib import Path
from typing import Any

from fedlora.federation import Federation, Resources
from fedlora.rendering.compose.base_model import MODEL, model_name
from fedlora.rendering.compose.service import image, kit_service, mount, once

__all__ = ["evaluation_settings", "evaluator"]

CONFIGURATION, HELD_OUT = "/etc/fedlora/evaluation.toml", Path("/held-out")
THREADS = 2


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

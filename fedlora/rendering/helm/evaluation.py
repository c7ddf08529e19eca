"""Values of the chart ``fedlora-evaluator``."""

from pathlib import Path

from fedlora.federation import Federation
from fedlora.federation.description import SERVICE
from fedlora.rendering.compose.evaluation import evaluation_settings
from fedlora.rendering.helm.base_model import BASE_MODEL, fetched
from fedlora.rendering.helm.values import Values, shared_values
from fedlora.settings_file import settings_text

__all__ = ["evaluator_values"]

RUNS = Path("/evaluator/runs")


def evaluator_values(federation: Federation, ca_certificate: str, model_blocks: tuple[str, ...] = ()) -> Values:
    """Return what the evaluator's chart is told, but for the run; it is meant for the coordinator's own namespace."""
    settings = {**evaluation_settings(federation, RUNS), "base-model": BASE_MODEL}
    return {
        **shared_values(federation),
        "superlink": {"host": SERVICE, "caCertificate": ca_certificate},
        "settings": {"evaluation": settings_text(settings)},
        "baseModel": {"fetch": fetched(federation, model_blocks)},
    }

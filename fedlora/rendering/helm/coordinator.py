"""Values of the chart ``fedlora-superlink``."""

from dataclasses import replace
from pathlib import Path

from fedlora.federation import Federation
from fedlora.federation.description import SERVICE
from fedlora.federation.settings import exporter_settings, keeper_settings
from fedlora.federation.writing import to_toml
from fedlora.rendering.compose.gateway import ADMIN_PORT, PART_PORT
from fedlora.rendering.helm.values import Values, limits, shared_values
from fedlora.settings_file import settings_text

__all__ = ["KEEPER_PORT", "coordinator_values"]

RUNS, SECRETS, ADMIN = Path("/var/lib/fedlora/runs"), Path("/run/secrets"), Path("/run/private/own")
KEEPER_PORT = 9467  # ServerApps, keeper and exporter share the address of one pod
EVERYWHERE = "0.0.0.0"  # noqa: S104 - of a pod, whose network policy says who comes in


def coordinator_values(federation: Federation) -> Values:
    """Return what the coordinator's chart is told."""
    own = replace(federation, coordinator=replace(federation.coordinator, runs=RUNS))
    keeper = keeper_settings(
        own,
        superlink=f"{SERVICE}:{ADMIN_PORT}",
        ca_certificate=ADMIN / "ca.crt",
        admin=ADMIN,
        listen=f"{EVERYWHERE}:{KEEPER_PORT}",
    )
    exporter = exporter_settings(
        own,
        listen=f"{EVERYWHERE}:{PART_PORT}",
        ca_certificate=SECRETS / "ca.crt",
        server_certificate=SECRETS / "server.crt",
    )
    memory = limits(federation.coordinator.memory, 2)
    return {
        **shared_values(federation),
        "settings": {
            "federation": to_toml(own),
            "keeper": settings_text(keeper),
            "exporter": settings_text(exporter),
        },
        "service": {"name": SERVICE, "fleet": {"port": federation.coordinator.fleet_port}},
        "certManager": {"dnsNames": [federation.coordinator.host]},
        "resources": {"superlink": memory, "serverapp": memory},
    }

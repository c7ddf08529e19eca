"""Prometheus at the coordinator: what passes through its gateway, in connections and bytes."""

from typing import Any

import yaml

from fedlora.federation import Federation
from fedlora.rendering.compose.gateway import METRICS, METRICS_PORT
from fedlora.rendering.compose.service import NO_DNS, health, image, mount, service

__all__ = ["PROMETHEUS_PORT", "prometheus", "prometheus_configuration"]

PROMETHEUS_PORT = 9090
CONFIGURATION, STATE = "/etc/fedlora/prometheus.yml", "/var/lib/fedlora"
READY = f"import urllib.request as request; request.urlopen('http://127.0.0.1:{PROMETHEUS_PORT}/-/ready', timeout=5)"


def prometheus(federation: Federation) -> dict[str, Any]:
    """Return the service: it asks the gateway, and answers on 127.0.0.1 of the machine."""
    return service(
        image(federation, "prometheus"),
        [
            "prometheus",
            f"--config.file={CONFIGURATION}",
            f"--storage.tsdb.path={STATE}",
            "--storage.tsdb.retention.time=90d",
            "--storage.tsdb.retention.size=1GB",
            f"--web.listen-address=0.0.0.0:{PROMETHEUS_PORT}",
        ],
        memory=512,
        cpus=1,
        pids=128,
        profiles=["monitoring"],
        volumes=[mount("./prometheus.yml", CONFIGURATION), f"prometheus:{STATE}"],
        networks=["metrics", "monitoring"],
        ports=[f"127.0.0.1:${{PROMETHEUS_PORT}}:{PROMETHEUS_PORT}"],
        healthcheck=health(["python3", "-c", READY], start=30),
        depends_on={"gateway": {"condition": "service_healthy"}},
        **NO_DNS,
    )


def prometheus_configuration() -> str:
    """Return ``prometheus.yml``: haproxy's own exporter, for the whole of each port and for what it leads to."""
    document = {
        "global": {"scrape_interval": "15s", "scrape_timeout": "10s"},
        "scrape_configs": [
            {
                "job_name": "gateway",
                "params": {"scope": ["frontend", "server"]},
                "static_configs": [{"targets": [f"{METRICS}:{METRICS_PORT}"]}],
            }
        ],
    }
    return "# What Prometheus asks: the gateway, and nobody else.\n" + yaml.safe_dump(document, sort_keys=False)

"""Prometheus at the coordinator, which asks its exporters, and Grafana, which asks Prometheus."""

from typing import Any

import yaml

from fedlora.federation import Federation
from fedlora.rendering.compose.gateway import METRICS, METRICS_PORT, PART_PORT, PARTS
from fedlora.rendering.compose.service import NO_DNS, health, image, mount, service

__all__ = [
    "GRAFANA_PASSWORD",
    "GRAFANA_PORT",
    "PROMETHEUS_PORT",
    "grafana",
    "prometheus",
    "prometheus_configuration",
]

PROMETHEUS_PORT, GRAFANA_PORT = 9090, 3000
GRAFANA_PASSWORD = "grafana.password"  # noqa: S105 - the name of its file
CONFIGURATION, STATE = "/etc/fedlora/prometheus.yml", "/var/lib/fedlora"
RULES, ALERTMANAGERS = "/etc/fedlora/rules/*.yml", "/etc/fedlora/alertmanagers.yml"
READY = f"import urllib.request as request; request.urlopen('http://127.0.0.1:{PROMETHEUS_PORT}/-/ready', timeout=5)"


def prometheus(federation: Federation) -> dict[str, Any]:
    """Return the service: it asks the coordinator's exporters, and answers on 127.0.0.1 of the machine."""
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
        profiles=["monitoring", "grafana"],
        volumes=[mount("./prometheus.yml", CONFIGURATION), f"prometheus:{STATE}"],
        networks=["metrics", "monitoring"],
        ports=[f"127.0.0.1:${{PROMETHEUS_PORT}}:{PROMETHEUS_PORT}"],
        healthcheck=health(["python3", "-c", READY], start=30),
        depends_on={"gateway": {"condition": "service_healthy"}},
        **NO_DNS,
    )


def grafana(federation: Federation) -> dict[str, Any]:
    """Return the service: it asks Prometheus, answers on 127.0.0.1 of the machine, and keeps nothing."""
    own = service(
        image(federation, "grafana"),
        [],
        memory=512,
        cpus=1,
        pids=256,
        init=True,
        environment={"GF_SECURITY_ADMIN_PASSWORD__FILE": f"/run/secrets/{GRAFANA_PASSWORD}"},
        profiles=["grafana"],
        secrets=[GRAFANA_PASSWORD],
        networks=["monitoring"],
        ports=[f"127.0.0.1:${{GRAFANA_PORT}}:{GRAFANA_PORT}"],
        healthcheck=health(["wget", "-q", "-O", "-", f"http://127.0.0.1:{GRAFANA_PORT}/api/health"]),
        depends_on={"prometheus": {"condition": "service_healthy"}},
        **NO_DNS,
    )
    # Its makers' image has an entry point of its own, which reads the password's file, and no init.
    return {key: value for key, value in own.items() if key not in ("entrypoint", "command")}


def prometheus_configuration() -> str:
    """Return ``prometheus.yml``; docs/monitoring.md says what each job is, and alerts and dashboards know their names.

    Alertmanagers are those of a file that whoever has one mounts; without it, alerts are shown and sent to nobody.
    """
    gateway = f"{METRICS}:{METRICS_PORT}"
    # All parts are asked at the gateway's address: their own names tell them apart.
    parts = [
        {"targets": [gateway], "labels": {"__metrics_path__": f"/{part}/metrics", "instance": part}} for part in PARTS
    ]
    document = {
        "global": {"scrape_interval": "15s", "scrape_timeout": "10s", "evaluation_interval": "15s"},
        "rule_files": [RULES],
        "alerting": {"alertmanagers": [{"file_sd_configs": [{"files": [ALERTMANAGERS]}]}]},
        "scrape_configs": [
            {"job_name": "coordinator", "static_configs": [{"targets": [f"exporter:{PART_PORT}"]}]},
            {"job_name": "parts", "static_configs": parts},
            # haproxy's own exporter, for the whole of each port and for what it leads to
            {
                "job_name": "gateway",
                "params": {"scope": ["frontend", "server"]},
                "static_configs": [{"targets": [gateway]}],
            },
        ],
    }
    return "# What Prometheus asks: the coordinator's exporters, and nobody else.\n" + yaml.safe_dump(
        document, sort_keys=False
    )

"""The coordinator's folder: SuperLink, ServerApps, keeper, and the gateway that all reach it through."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from fedlora import flower
from fedlora.federation import Federation
from fedlora.federation.description import SERVICE
from fedlora.federation.settings import exporter_settings, keeper_settings
from fedlora.federation.writing import to_toml
from fedlora.pki.certificates import COORDINATOR_FILES
from fedlora.rendering.compose.evaluation import evaluation_settings, evaluator, follower
from fedlora.rendering.compose.gateway import (
    ADMIN_PORT,
    FLEET_PORT,
    HEALTH,
    INSIDE,
    METRICS,
    PART_PORT,
    RUNTIME_ENTRANCE,
    RUNTIME_PORT,
    entrance_configuration,
    gateway_command,
)
from fedlora.rendering.compose.monitoring import (
    GRAFANA_PASSWORD,
    GRAFANA_PORT,
    PROMETHEUS_PORT,
    grafana,
    prometheus,
    prometheus_configuration,
)
from fedlora.rendering.compose.readme import coordinator_readme
from fedlora.rendering.compose.service import (
    NO_DNS,
    compose_text,
    health,
    image,
    internal,
    kit_service,
    mount,
    once,
    service,
    unrouted,
)
from fedlora.settings_file import settings_text

__all__ = ["coordinator_files"]

STATE, SECRETS = Path("/var/lib/fedlora"), Path("/run/secrets")
CA_CERTIFICATE, SECRET = SECRETS / "ca.crt", SECRETS / "superexec.secret"
RUNS = STATE / "runs"
DATABASE = "superlink.sqlite"
PROGRAMS = Path("/opt/fedlora/bin")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - of a container, on networks that only the gateway or Prometheus share with it
LISTEN = f"{EVERYWHERE}:{PART_PORT}"
ASK_METRICS = (
    f"import urllib.request as request; request.urlopen('http://127.0.0.1:{PART_PORT}/metrics', timeout=5).read()"
)
ENGINE = ("python", "-m", "superlink.engine", LISTEN)


def coordinator_files(federation: Federation) -> dict[str, str]:
    """Return the files of the coordinator's folder by name."""
    keeper = keeper_settings(
        _inside(federation),
        superlink=f"{SERVICE}:{ADMIN_PORT}",
        ca_certificate=CA_CERTIFICATE,
        admin=SECRETS,
        listen=LISTEN,
    )
    exporter = exporter_settings(
        _inside(federation),
        listen=LISTEN,
        ca_certificate=CA_CERTIFICATE,
        server_certificate=SECRETS / "server.crt",
    )
    document = {
        "name": f"{federation.name}-coordinator",
        "services": {
            "superlink": _superlink(federation),
            "gateway": _gateway(federation),
            "serverapp": _serverapp(federation),
            "keeper": _keeper(federation),
            "exporter": _exporter(federation),
            "prometheus": prometheus(federation),
            "grafana": grafana(federation),
            "evaluator": evaluator(federation, f"runs:{STATE}:ro"),
            "benchmarks": follower(federation, f"runs:{STATE}", RUNS),
            "backup": _copying(federation, "backup"),
            "restore": _copying(federation, "restore"),
        },
        "networks": {
            "outside": {},
            **{name: internal() for name in ("inside", "runtime", "control", "metrics")},
            "monitoring": unrouted(),
        },
        "volumes": {"superlink": {}, "runs": {}, "prometheus": {}},
        "secrets": {name: {"file": f"./secrets/{name}"} for name in (*COORDINATOR_FILES, GRAFANA_PASSWORD)},
    }
    own = federation.coordinator
    return {
        "compose.yaml": compose_text(federation, "The coordinator", document),
        ".env": (
            f"# Ports of this machine.\nFLEET_PORT={own.fleet_port}\nHTTP_PORT={own.http_port}\n"
            f"# With --profile monitoring, on 127.0.0.1.\nPROMETHEUS_PORT={PROMETHEUS_PORT}\n"
            f"# With --profile grafana, on 127.0.0.1.\nGRAFANA_PORT={GRAFANA_PORT}\n"
            "# For the evaluator: the base model's folder, and held-out records as a shard folder.\n"
            "MODEL=./model\nHELD_OUT=./held-out\n"
            "# With --profile benchmarks: the items' folder; which rounds are scored; items of each, 0 for all.\n"
            "BENCHMARKS=./benchmarks\nBENCHMARK_ROUNDS=5\nBENCHMARK_LIMIT=0\n"
            "# Where backups go, and are restored from.\nBACKUPS=./backups\n"
        ),
        "federation.toml": to_toml(_inside(federation)),
        "keeper.toml": settings_text(keeper),
        "exporter.toml": settings_text(exporter),
        "haproxy.cfg": entrance_configuration(),
        "prometheus.yml": prometheus_configuration(),
        "evaluation.toml": settings_text(evaluation_settings(federation, RUNS)),
        "README.md": coordinator_readme(federation),
    }


def _inside(federation: Federation) -> Federation:
    """Return the federation with the coordinator's folders as its containers see them."""
    return replace(federation, coordinator=replace(federation.coordinator, runs=RUNS))


def _superlink(federation: Federation) -> dict[str, Any]:
    files = flower.SuperLinkFiles(
        ca_certificate=CA_CERTIFICATE,
        certificate=SECRETS / "server.crt",
        private_key=SECRETS / "server.key",
        superexec_secret=SECRET,
        database=STATE / DATABASE,
    )
    command = flower.superlink_command(
        files, fleet=f"{EVERYWHERE}:{FLEET_PORT}", http=f"{EVERYWHERE}:8000", programs=PROGRAMS
    )
    asked = ("https://localhost:8000/", f"grpcs://localhost:{FLEET_PORT}")
    return kit_service(
        image(federation, "superlink"),
        [*ENGINE, *command],
        memory=federation.coordinator.memory,
        cpus=2,
        pids=512,
        environment=flower.variables(STATE / "flower"),
        secrets=["ca.crt", "server.crt", "server.key", "superexec.secret"],
        volumes=[f"superlink:{STATE}"],
        networks={"inside": {"aliases": [INSIDE]}},
        healthcheck=health(["python", "-m", "superlink.health", str(CA_CERTIFICATE), *asked]),
        **NO_DNS,
    )


def _gateway(federation: Federation) -> dict[str, Any]:
    return service(
        image(federation, "gateway"),
        gateway_command(),
        memory=256,
        cpus=1,
        pids=64,
        secrets=["ca.crt", "server.crt", "server.key"],
        volumes=[mount("./haproxy.cfg", "/etc/fedlora/haproxy.cfg")],
        networks={
            "outside": {},
            "inside": {},
            "runtime": {"aliases": [SERVICE, RUNTIME_ENTRANCE]},
            "control": {"aliases": [SERVICE]},
            "metrics": {"aliases": [METRICS]},
        },
        ports=[f"${{FLEET_PORT}}:{FLEET_PORT}", f"127.0.0.1:${{HTTP_PORT}}:{ADMIN_PORT}"],
        healthcheck=health(HEALTH, start=20),
        depends_on={"superlink": {"condition": "service_healthy"}},
    )


def _serverapp(federation: Federation) -> dict[str, Any]:
    entrance = f"{SERVICE}:{RUNTIME_PORT}"
    command = flower.superexec_command(
        ca_certificate=CA_CERTIFICATE, superexec_secret=SECRET, superlink=entrance, programs=PROGRAMS
    )
    asked = f"https://{entrance}/v1/runtime/"
    return kit_service(
        image(federation, "serverapp"),
        [*ENGINE, *command],
        memory=federation.coordinator.memory,
        cpus=2,
        pids=512,
        environment={**flower.variables(Path("/tmp/flower")), "FEDLORA_RUNS": str(RUNS)},  # noqa: S108
        secrets=["ca.crt", "superexec.secret"],
        volumes=[f"runs:{STATE}"],
        networks=["runtime"],
        healthcheck=health(["python", "-m", "superlink.health", str(CA_CERTIFICATE), asked]),
        depends_on={"gateway": {"condition": "service_healthy"}},
        **NO_DNS,
    )


def _keeper(federation: Federation) -> dict[str, Any]:
    return kit_service(
        image(federation, "superlink"),
        ["python", "-m", "superlink.keeper", "/etc/fedlora/keeper.toml"],
        memory=512,
        cpus=1,
        pids=128,
        environment={
            **flower.variables(Path("/tmp/flower")),  # noqa: S108 - of the container's own
            "FEDLORA_RUNS": str(RUNS),
            "FEDLORA_SUPERLINK": f"{SERVICE}:{ADMIN_PORT}",
            "FEDLORA_CA_CERTIFICATE": str(CA_CERTIFICATE),
            "FEDLORA_ADMIN": str(SECRETS),
        },
        secrets=["ca.crt", "admin.crt", "admin.key"],
        volumes=[
            f"runs:{STATE}",
            mount("./keeper.toml", "/etc/fedlora/keeper.toml"),
            mount("./federation.toml", "/etc/fedlora/federation.toml"),
        ],
        networks=["control"],
        healthcheck=health(["python", "-m", "fedlora.heartbeat", str(RUNS / "keeper.heartbeat")]),
        depends_on={"gateway": {"condition": "service_healthy"}},
        **NO_DNS,
    )


def _exporter(federation: Federation) -> dict[str, Any]:
    """Return what derives Prometheus' figures from the ledgers of the runs, which it only reads."""
    return kit_service(
        image(federation, "superlink"),
        ["python", "-m", "superlink.exporter", "/etc/fedlora/exporter.toml"],
        memory=256,
        cpus=1,
        pids=64,
        secrets=["ca.crt", "server.crt"],
        # Writable, for SQLite's readers of a log that is being written make a file beside it.
        volumes=[f"runs:{STATE}", mount("./exporter.toml", "/etc/fedlora/exporter.toml")],
        networks=["metrics"],
        healthcheck=health(["python", "-c", ASK_METRICS]),
        **NO_DNS,
    )


def _copying(federation: Federation, command: str) -> dict[str, Any]:
    """Return what backs the coordinator up, or restores it: alone it sees both volumes, and it has no key."""
    database = Path("/var/lib/superlink")
    program = kit_service(
        image(federation, "superlink"),
        [],
        memory=512,
        cpus=1,
        pids=64,
        environment={
            "FEDLORA_RUNS": str(RUNS),
            "FEDLORA_DATABASE": str(database / DATABASE),
            "FEDLORA_CA_CERTIFICATE": str(CA_CERTIFICATE),
        },
        profiles=["backup"],
        network_mode="none",
        working_dir="/etc/fedlora",  # where the command finds the federation's file
        secrets=["ca.crt"],
        volumes=[
            f"superlink:{database}",
            f"runs:{STATE}",
            mount("./federation.toml", "/etc/fedlora/federation.toml"),
            mount("${BACKUPS:-./backups}", "/backups", read_only=command != "backup"),
        ],
    )
    return once(program) | {"entrypoint": ["tini", "--", "fedlora", command]}

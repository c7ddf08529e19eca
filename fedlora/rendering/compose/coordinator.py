"""The coordinator's folder: SuperLink, ServerApps, keeper, and the gateway that all reach it through."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from fedlora import flower
from fedlora.federation import Federation
from fedlora.federation.description import SERVICE
from fedlora.federation.settings import keeper_settings
from fedlora.federation.writing import to_toml
from fedlora.rendering.compose.gateway import (
    ADMIN_PORT,
    FLEET_PORT,
    HEALTH,
    INSIDE,
    RUNTIME_ENTRANCE,
    RUNTIME_PORT,
    entrance_configuration,
    gateway_command,
)
from fedlora.rendering.compose.service import NO_DNS, compose_text, health, image, internal, mount, service
from fedlora.settings_file import settings_text

__all__ = ["coordinator_files"]

STATE, SECRETS = Path("/var/lib/fedlora"), Path("/run/secrets")
CA_CERTIFICATE, SECRET = SECRETS / "ca.crt", SECRETS / "superexec.secret"
RUNS = STATE / "runs"
PROGRAMS = Path("/opt/fedlora/bin")
ALL_SECRETS = ("ca.crt", "server.crt", "server.key", "admin.crt", "admin.key", "superexec.secret")


def coordinator_files(federation: Federation) -> dict[str, str]:
    """Return the files of the coordinator's folder by name."""
    keeper = keeper_settings(
        _inside(federation), superlink=f"{SERVICE}:{ADMIN_PORT}", ca_certificate=CA_CERTIFICATE, admin=SECRETS
    )
    document = {
        "name": f"{federation.name}-coordinator",
        "services": {
            "superlink": _superlink(federation),
            "gateway": _gateway(federation),
            "serverapp": _serverapp(federation),
            "keeper": _keeper(federation),
        },
        "networks": {"outside": {}, "inside": internal(), "runtime": internal(), "control": internal()},
        "volumes": {"superlink": {}, "runs": {}},
        "secrets": {name: {"file": f"./secrets/{name}"} for name in ALL_SECRETS},
    }
    own = federation.coordinator
    return {
        "compose.yaml": compose_text(federation, "The coordinator", document),
        ".env": f"# Ports of this machine.\nFLEET_PORT={own.fleet_port}\nHTTP_PORT={own.http_port}\n",
        "federation.toml": to_toml(_inside(federation)),
        "keeper.toml": settings_text(keeper),
        "haproxy.cfg": entrance_configuration(),
        "README.md": _readme(federation),
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
        database=STATE / "superlink.sqlite",
    )
    everywhere = "0.0.0.0"  # noqa: S104 - of its container, which only the gateway reaches
    command = flower.superlink_command(
        files, fleet=f"{everywhere}:{FLEET_PORT}", http=f"{everywhere}:8000", programs=PROGRAMS
    )
    asked = ("https://localhost:8000/", f"grpcs://localhost:{FLEET_PORT}")
    return service(
        image(federation, "superlink"),
        command,
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
    return service(
        image(federation, "serverapp"),
        command,
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
    return service(
        image(federation, "superlink"),
        ["python", "-m", "superlink.keeper", "/etc/fedlora/keeper.toml"],
        memory=512,
        cpus=1,
        pids=128,
        environment={**flower.variables(Path("/tmp/flower")), "FEDLORA_RUNS": str(RUNS)},  # noqa: S108
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


def _readme(federation: Federation) -> str:
    port = federation.coordinator.http_port
    return f"""\
# Coordinator of {federation.name}

In this folder, on the coordinator's machine, which sites reach as {federation.coordinator.host}. `CA` is the folder \
with `ca.crt` and `ca.key`, which no container sees; `FILE` is the federation's file.

    fedlora pki coordinator CA --federation FILE --to secrets
    fedlora pki admin CA --name admin --to admin
    sudo chown -R 49999:49999 secrets
    docker compose up -d

Each site's folder goes to its site, which answers with one public key. Admit it, and compare its SHA-256:

    fedlora node register SITE node.key.pub --superlink localhost:{port} --ca-certificate CA/ca.crt --admin admin

Then start a run, and follow it:

    docker compose exec keeper fedlora run submit first /etc/fedlora/federation.toml
    docker compose exec keeper fedlora run watch first
"""

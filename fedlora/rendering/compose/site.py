"""A site's folder: two compartments, and the relay that is the only way out of one of them."""

from pathlib import Path
from typing import Any

from fedlora import flower
from fedlora.federation import Federation, Site
from fedlora.federation.description import SERVICE
from fedlora.federation.settings import SitePlaces, supernode_settings, trainer_settings
from fedlora.language_model import BaseModel
from fedlora.rendering.compose.gateway import FLEET_PORT, HEALTH, gateway_command, relay_configuration
from fedlora.rendering.compose.service import NO_DNS, compose_text, health, image, internal, mount, service
from fedlora.settings_file import settings_text

__all__ = ["site_files"]

STATE, SOCKET, CREDENTIALS = Path("/var/lib/fedlora"), Path("/run/fedlora/trainer"), Path("/run/fedlora/credentials")
CONFIGURATION = Path("/etc/fedlora")
CA_CERTIFICATE = CONFIGURATION / "ca.crt"
MODEL = Path("/model")
TRAINER_START_SECONDS = 600


def site_files(federation: Federation, site: Site) -> dict[str, str]:
    """Return the files of a site's folder by name; its ``ca.crt`` is not among them."""
    places = SitePlaces(
        shard=_shard(site),
        trainer_state=STATE,
        supernode_state=STATE,
        socket=SOCKET / "trainer.sock",
        ca_certificate=CA_CERTIFICATE,
        node_key=CREDENTIALS / "node.key",
        worker_secret=CREDENTIALS / "worker.secret",
    )
    # The relay is called as the SuperLink's certificate says, whatever the SuperLink's own address is.
    supernode = {**supernode_settings(federation, site, places), "superlink": f"{SERVICE}:{FLEET_PORT}"}
    trainer = trainer_settings(federation, site, places, BaseModel(_model_name(federation), MODEL))
    document = {
        "name": f"{federation.name}-site-{site.name}",
        "services": {
            "trainer": _trainer(federation, site),
            "credentials": _credentials(federation),
            "relay": _relay(federation),
            "supernode": _supernode(federation),
        },
        "networks": {"outside": {}, "inside": internal()},
        "volumes": {"trainer": {}, "supernode": {}, "socket": {}, "credentials": {}},
    }
    return {
        "compose.yaml": compose_text(federation, f"Site {site.name}", document),
        ".env": f"# On this machine: the records, and the base model's folder.\nSHARD={site.shard}\nMODEL=./model\n",
        "supernode.toml": settings_text(supernode),
        "trainer.toml": settings_text(trainer),
        "haproxy.cfg": relay_configuration(federation, site),
        "README.md": _readme(federation, site),
    }


def _shard(site: Site) -> Path:
    """Return where the trainer sees the records: what they are, the end of the name may say."""
    return Path("/shard") / site.shard.name


def _model_name(federation: Federation) -> str:
    source = federation.base_model
    return Path(source).name if source.startswith((".", "/", "~")) else source


def _trainer(federation: Federation, site: Site) -> dict[str, Any]:
    file = str(CONFIGURATION / "trainer.toml")
    return service(
        image(federation, "trainer"),
        ["python", "-m", "supernode.trainer", file],
        memory=site.resources.memory,
        cpus=site.resources.threads,
        pids=256,
        network_mode="none",
        volumes=[
            mount("./trainer.toml", file),
            mount("${SHARD}", str(_shard(site))),
            mount("${MODEL}", str(MODEL)),
            f"trainer:{STATE}",
            f"socket:{SOCKET}",
        ],
        healthcheck=health(["python", "-m", "supernode.trainer.health", file], start=TRAINER_START_SECONDS),
    )


def _credentials(federation: Federation) -> dict[str, Any]:
    """Return what makes the site's key once, and prints its public half each time."""
    return service(
        image(federation, "supernode"),
        ["fedlora", "node", "prepare", str(CREDENTIALS), "--ca-certificate", str(CA_CERTIFICATE)],
        memory=256,
        cpus=1,
        pids=64,
        network_mode="none",
        volumes=[f"credentials:{CREDENTIALS}", mount("./ca.crt", str(CA_CERTIFICATE))],
    ) | {"restart": "no"}


def _relay(federation: Federation) -> dict[str, Any]:
    return service(
        image(federation, "gateway"),
        gateway_command(),
        memory=128,
        cpus=1,
        pids=64,
        volumes=[mount("./haproxy.cfg", "/etc/fedlora/haproxy.cfg")],
        networks={"outside": {}, "inside": {"aliases": [SERVICE]}},
        healthcheck=health(HEALTH, start=20),
    )


def _supernode(federation: Federation) -> dict[str, Any]:
    file = str(CONFIGURATION / "supernode.toml")
    return service(
        image(federation, "supernode"),
        ["python", "-m", "supernode", file],
        memory=1024,
        cpus=1,
        pids=256,
        environment=flower.variables(STATE / "flower"),
        volumes=[
            mount("./supernode.toml", file),
            mount("./ca.crt", str(CA_CERTIFICATE)),
            f"credentials:{CREDENTIALS}:ro",
            f"supernode:{STATE}",
            f"socket:{SOCKET}:ro",
        ],
        networks=["inside"],
        healthcheck=health(["python", "-m", "fedlora.heartbeat", str(STATE / "last-fleet-call")], start=120),
        depends_on={
            "credentials": {"condition": "service_completed_successfully"},
            "relay": {"condition": "service_healthy"},
            "trainer": {"condition": "service_healthy"},
        },
        **NO_DNS,
    )


def _readme(federation: Federation, site: Site) -> str:
    return f"""\
# Site {site.name} of {federation.name}

In this folder, on the site's own machine. It needs `ca.crt` of the federation (compare its fingerprint with the \
coordinator's by another way), the records at the path that `.env` names, and the base model \
{_model_name(federation)} as the folder `model`; the user 49999 must be able to read both.

    docker compose run --rm credentials >node.key.pub
    docker compose up -d

Send `node.key.pub` to the coordinator, and its SHA-256, which the first command shows, by another way. Nothing else \
leaves. Once it is admitted, the supernode gets healthy within a minute:

    docker compose ps
    docker compose logs supernode trainer
"""

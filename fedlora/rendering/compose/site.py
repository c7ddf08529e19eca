"""A site's folder: two compartments, and the relay that is the only way out of one of them."""

from pathlib import Path
from typing import Any

from fedlora import flower
from fedlora.federation import Federation, Site
from fedlora.federation.description import SERVICE
from fedlora.federation.settings import SitePlaces, supernode_settings, trainer_settings
from fedlora.language_model import BaseModel
from fedlora.rendering.compose.base_model import MODEL, model, model_name
from fedlora.rendering.compose.gateway import FLEET_PORT, HEALTH, gateway_command, relay_configuration
from fedlora.rendering.compose.readme import site_readme
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
)
from fedlora.settings_file import settings_text

__all__ = ["site_files"]

STATE, SOCKET, CREDENTIALS = Path("/var/lib/fedlora"), Path("/run/fedlora/trainer"), Path("/run/fedlora/credentials")
CONFIGURATION = Path("/etc/fedlora")
CA_CERTIFICATE = CONFIGURATION / "ca.crt"
TRAINER_START_SECONDS = 600
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - of the container, whose ports are not published
PROFILES = {"cpu": "cpu", "cuda": "gpu"}  # by device


def site_files(federation: Federation, site: Site, ca_sha256: str = "") -> dict[str, str]:
    """Return the files of a site's folder by name; its ``ca.crt``, with the fingerprint, is not among them."""
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
    settings = supernode_settings(federation, site, places, metrics_host=ALL_ADDRESSES)
    supernode = {**settings, "superlink": f"{SERVICE}:{FLEET_PORT}"}
    trainer = trainer_settings(federation, site, places, BaseModel(model_name(federation), MODEL))
    document = {
        "name": f"{federation.name}-site-{site.name}",
        "services": {
            "trainer": _trainer(federation, site),
            "trainer-gpu": _trainer_gpu(federation, site),
            "model": model(federation),
            "credentials": _credentials(federation),
            "relay": _relay(federation),
            "supernode": _supernode(federation),
        },
        "networks": {"outside": {}, "inside": internal()},
        "volumes": {"trainer": {}, "supernode": {}, "socket": {}, "credentials": {}},
    }
    return {
        "compose.yaml": compose_text(federation, f"Site {site.name}", document),
        ".env": _environment(site, ca_sha256),
        "supernode.toml": settings_text(supernode),
        "trainer.toml": settings_text({**trainer, "device": "cpu"}),
        "trainer-gpu.toml": settings_text({**trainer, "device": "cuda"}),
        "haproxy.cfg": relay_configuration(federation, site),
        "README.md": site_readme(federation, site, ca_sha256),
    }


def _environment(site: Site, ca_sha256: str) -> str:
    return f"""\
# On this machine: the records, and the base model's folder.
SHARD={site.shard}
MODEL=./model
# What the trainer computes on: cpu, or gpu.
COMPOSE_PROFILES={PROFILES[site.resources.device]}
# Fingerprint of the federation's ca.crt, as the coordinator has told it by another way; no other is taken.
CA_SHA256={ca_sha256}
"""


def _shard(site: Site) -> Path:
    """Return where the trainer sees the records: what they are, the end of the name may say."""
    return Path("/shard") / site.shard.name


def _trainer(federation: Federation, site: Site, device: str = "cpu", **more: Any) -> dict[str, Any]:
    file = str(CONFIGURATION / "trainer.toml")
    return kit_service(
        image(federation, "trainer", "-cuda" if device == "cuda" else ""),
        ["python", "-m", "supernode.trainer", file],
        memory=site.resources.memory,
        cpus=site.resources.threads,
        pids=256,
        profiles=[PROFILES[device]],
        network_mode="none",
        volumes=[
            mount("./trainer-gpu.toml" if device == "cuda" else "./trainer.toml", file),
            mount("${SHARD}", str(_shard(site))),
            mount("${MODEL}", str(MODEL)),
            f"trainer:{STATE}",
            f"socket:{SOCKET}",
        ],
        healthcheck=health(["python", "-m", "supernode.trainer.health", file], start=TRAINER_START_SECONDS),
        **more,
    )


def _trainer_gpu(federation: Federation, site: Site) -> dict[str, Any]:
    """Return the same trainer on GPUs."""
    trainer = _trainer(federation, site, "cuda", shm_size="1g")
    resources = trainer["deploy"]["resources"]
    device = {"driver": "nvidia", "count": site.resources.gpus, "capabilities": ["gpu"]}
    return trainer | {"deploy": {"resources": {**resources, "reservations": {"devices": [device]}}}}


def _credentials(federation: Federation) -> dict[str, Any]:
    """Return what makes the site's key once, and prints its public half each time."""
    expected = ("--ca-certificate", str(CA_CERTIFICATE), "--ca-sha256", "${CA_SHA256}")
    return once(
        kit_service(
            image(federation, "supernode"),
            ["fedlora", "node", "prepare", str(CREDENTIALS), *expected],
            memory=256,
            cpus=1,
            pids=64,
            network_mode="none",
            volumes=[f"credentials:{CREDENTIALS}", mount("./ca.crt", str(CA_CERTIFICATE))],
        )
    )


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
    trainer = {"condition": "service_healthy", "required": False}  # whichever of the two the profile has
    return kit_service(
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
            "trainer": trainer,
            "trainer-gpu": trainer,
        },
        **NO_DNS,
    )

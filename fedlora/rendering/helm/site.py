"""Values of the chart ``fedlora-supernode``: one site, one release."""

import ipaddress
from pathlib import Path

from fedlora.errors import ConfigurationError
from fedlora.federation import Federation, Site
from fedlora.federation.description import SERVICE
from fedlora.federation.settings import SitePlaces, supernode_settings, trainer_settings
from fedlora.language_model import BaseModel
from fedlora.rendering.compose.base_model import model_name
from fedlora.rendering.helm.base_model import BASE_MODEL, fetched
from fedlora.rendering.helm.values import Values, limits, shared_values
from fedlora.settings_file import settings_text

__all__ = ["site_values"]

SITE, CONFIGURATION = Path("/site"), Path("/etc/fedlora")
CREDENTIALS = SITE / "credentials" / "node"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - of a pod, whose network policy says who comes in


def site_values(
    federation: Federation, site: Site, ca_certificate: str, ca_sha256: str, model_blocks: tuple[str, ...] = ()
) -> Values:
    """Return what a site's chart is told.

    Raises
    ------
    ConfigurationError
        If it is not known in which address blocks the SuperLink lies, or it would be called by a name that its
        certificate is not for.
    """
    superlink = _superlink(federation, site)
    places = SitePlaces(
        shard=Path("/shard") / site.shard.name,
        trainer_state=SITE / "trainer",
        supernode_state=SITE / "supernode",
        socket=SITE / "socket" / "trainer.sock",
        ca_certificate=CONFIGURATION / "ca.crt",
        node_key=CREDENTIALS / "node.key",
        worker_secret=CREDENTIALS / "worker.secret",
    )
    settings = supernode_settings(federation, site, places, metrics_host=EVERYWHERE)
    supernode = {**settings, "superlink": f"{superlink['host']}:{superlink['port']}"}
    trainer = trainer_settings(federation, site, places, BaseModel(model_name(federation), BASE_MODEL))
    cuda = site.resources.device == "cuda"
    return {
        **shared_values(federation),
        "site": {"name": site.name, "domain": site.domain},
        "superlink": {**superlink, "caCertificate": ca_certificate, "caSha256": ca_sha256},
        "settings": {"supernode": settings_text(supernode), "trainer": settings_text(trainer)},
        "secrets": {"existingSecret": f"site-{site.name}"},
        "shard": {"existingClaim": f"site-{site.name}-shard"},
        "baseModel": {"fetch": fetched(federation, model_blocks)},
        "trainer": {
            "device": site.resources.device,
            "gpu": {"count": site.resources.gpus if cuda else 0},
            "shmSize": "1Gi" if cuda else "",
        },
        "metricsPort": site.metrics_port,
        "resources": {"trainer": limits(site.resources.memory, site.resources.threads)},
    }


def _superlink(federation: Federation, site: Site) -> Values:
    """Return by which name and in which address blocks the site's pod reaches the SuperLink."""
    host, _, port = federation.superlink_of(site).rpartition(":")
    address = _address(host)
    blocks = [f"{address}/32"] if address else list(federation.coordinator.address_blocks)
    if not blocks:
        raise ConfigurationError(
            f"site {site.name} reaches the SuperLink as {host}, and network policies take addresses, not names: set "
            'coordinator.address-blocks, as in address-blocks = ["203.0.113.7/32"]'
        )
    if host in federation.superlink_names:
        return {"host": host, "port": int(port), "addressBlocks": blocks}
    if not address:
        names = ", ".join(federation.superlink_names)
        raise ConfigurationError(
            f"site {site.name} reaches the SuperLink as {host}, and its certificate is for {names}: a pod has no relay "
            "that calls it otherwise; name coordinator.host or an IPv4 address as the site's superlink"
        )
    alias = {"ip": address, "hostnames": [SERVICE]}
    return {"host": SERVICE, "port": int(port), "addressBlocks": blocks, "hostAliases": [alias]}


def _address(host: str) -> str:
    """Return `host` if it is an IPv4 address, else an empty text."""
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        return ""

"""The settings files of a federation's parts, from its description: the same for processes, containers and pods.

Keys are those of ``supernode.settings``, ``supernode.trainer.settings`` and ``superlink.keeper``; where things lie is
the deployment's to say.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlora.federation.description import Federation, Site
from fedlora.language_model import BaseModel

__all__ = ["SitePlaces", "exporter_settings", "keeper_settings", "supernode_settings", "trainer_settings"]


@dataclass(frozen=True)
class SitePlaces:
    """Where a site's parts find what they need, as they see it themselves.

    Attributes
    ----------
    shard : Path
        The shard's folder, or a file of records; the trainer's alone.
    trainer_state, supernode_state : Path
        Folders that outlive the processes.
    socket : Path
        The trainer's Unix socket.
    ca_certificate, node_key, worker_secret : Path
        The supernode's credentials.
    """

    shard: Path
    trainer_state: Path
    supernode_state: Path
    socket: Path
    ca_certificate: Path
    node_key: Path
    worker_secret: Path


def trainer_settings(federation: Federation, site: Site, places: SitePlaces, base_model: BaseModel) -> dict[str, Any]:
    """Return ``trainer.toml`` of `site`."""
    return {
        "site": site.name,
        "domain": site.domain,
        "shard": places.shard,
        "base-model": base_model.directory,
        "base-model-name": base_model.name,
        "base-model-sha256": federation.base_model_sha256,
        "state": places.trainer_state,
        "socket": places.socket,
        "threads": site.resources.threads,
        "tokens-at-once": site.resources.tokens_at_once,
        "device": site.resources.device,
        "gpus": site.resources.gpus,
        "seed": site.seed,
        "policy": {
            "recipes": federation.recipes_of(site),
            "fewest-examples": site.policy.fewest_examples,
            "largest-norm": site.policy.largest_norm,
            "figures": site.policy.figures,
            "most-rank": site.policy.most_rank,
            "codecs": site.policy.codecs,
            "clip-norm": site.policy.clip_norm,
            "noise-multiplier": site.policy.noise_multiplier,
            "epsilon-limit": site.policy.epsilon_limit,
            "delta": site.policy.delta,
            "most-updates": site.policy.most_updates,
            "most-runs": site.policy.most_runs,
        },
    }


def supernode_settings(federation: Federation, site: Site, places: SitePlaces, *, metrics_host: str) -> dict[str, Any]:
    """Return ``supernode.toml`` of `site`; its metrics are served at the address `metrics_host` of its machine."""
    return {
        "site": site.name,
        "domain": site.domain,
        "superlink": federation.superlink_of(site),
        "ca-certificate": places.ca_certificate,
        "node-key": places.node_key,
        "runtime-port": site.runtime_port,
        "superexec-secret": places.worker_secret,
        "trainer": places.socket,
        "state": places.supernode_state,
        "metrics": f"{metrics_host}:{site.metrics_port}" if site.metrics_port else "",
        "figures": site.policy.figures,
    }


def exporter_settings(
    federation: Federation, *, listen: str, ca_certificate: Path, server_certificate: Path
) -> dict[str, Any]:
    """Return ``exporter.toml``; `listen` is HOST:PORT."""
    return {
        "listen": listen,
        "runs": federation.coordinator.runs,
        "ca-certificate": ca_certificate,
        "server-certificate": server_certificate,
    }


def keeper_settings(
    federation: Federation, *, superlink: str, ca_certificate: Path, admin: Path | None = None, listen: str = ""
) -> dict[str, Any]:
    """Return ``keeper.toml``.

    `superlink` is HOST:PORT of the SuperLink's HTTP APIs, `admin` the folder of a certificate for them if need be,
    `listen` HOST:PORT for Prometheus.
    """
    return {
        "superlink": superlink,
        "ca-certificate": ca_certificate,
        "runs": federation.coordinator.runs,
        "silent-seconds": federation.keeper.silent_seconds,
        "first-pause": federation.keeper.first_pause,
        "most-pause": federation.keeper.most_pause,
        "fruitless": federation.keeper.fruitless,
        **({} if admin is None else {"admin": admin}),
        **({"listen": listen} if listen else {}),
    }

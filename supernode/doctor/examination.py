"""All checks of a site, in the order in which they rest on each other; none keeps another from being made."""

from pathlib import Path
from typing import TypeVar

from fedlora.config import read_toml
from fedlora.errors import FedloraError
from supernode.doctor import admission, credentials, machine, network, training
from supernode.doctor.findings import Finding, Outcome, check, ok, skipped, usable, warn
from supernode.settings import NodeSettings
from supernode.trainer.settings import TrainerSettings
from supernode.withdrawal import withdrawal

__all__ = ["examine"]

Settings = TypeVar("Settings")
OF_THE_SUPERNODE = (
    *("consent", "CA certificate", "node key", "worker secret", "name resolution", "port", "TLS", "server certificate"),
    *("clock", "registration", "supernode state", "worker port"),
)
OF_THE_TRAINER = ("shard", "base model", "policy", "trainer state", "memory", "cores")


def examine(supernode_file: Path) -> list[Finding]:
    """Look at the site with this ``supernode.toml``, and with the ``trainer.toml`` beside it."""
    node, node_finding = _settings("supernode.toml", NodeSettings, supernode_file)
    trainer, trainer_finding = _settings("trainer.toml", TrainerSettings, supernode_file.with_name("trainer.toml"))
    return [
        node_finding,
        trainer_finding,
        *(_supernode(node) if node else _all_skipped(OF_THE_SUPERNODE, "supernode.toml cannot be used")),
        *(_trainer(trainer) if trainer else _all_skipped(OF_THE_TRAINER, "trainer.toml cannot be used")),
        machine.gpu(trainer),
        machine.trainer_socket(node, trainer),
    ]


def _settings(name: str, schema: type[Settings], file: Path) -> tuple[Settings | None, Finding]:
    try:
        return read_toml(schema, file), Finding(name, Outcome.OK, str(file))
    except FedloraError as error:
        advice = "correct that, or name the site's folder, where supernode.toml and trainer.toml are"
        return None, Finding(name, Outcome.FAIL, " ".join(str(error).split()), advice)


def _all_skipped(names: tuple[str, ...], reason: str) -> list[Finding]:
    return [Finding(name, *skipped(reason)) for name in names]


def _supernode(settings: NodeSettings) -> list[Finding]:
    ca = credentials.ca_certificate(settings.ca_certificate)
    key = credentials.node_key(settings.node_key)
    way = network.examine(settings.superlink, settings.ca_certificate, ca)
    hindrance = "" if usable(way[-1]) else "there is no TLS"
    if not usable(key):
        hindrance = "the node key cannot be used"
    return [
        _consent(settings),
        ca,
        key,
        credentials.worker_secret(settings.superexec_secret),
        *way,
        *admission.examine(settings, hindrance),
        check("supernode state")(machine.state_folder)(settings.state, None),
        machine.worker_port(settings),
    ]


@check("consent")
def _consent(settings: NodeSettings) -> tuple[Outcome, str, str]:
    said = withdrawal(settings.state)
    if said is None:
        return ok(f"{settings.site} takes part")
    if said.left:
        return warn(f"{said} (since {said.since})", "to come back: fedlora node keygen, register, and node resume")
    return warn(f"{said} (since {said.since})", "to take part again: fedlora node resume")


def _trainer(settings: TrainerSettings) -> list[Finding]:
    model = training.base_model(settings)
    needed = training.largest_needs(settings) if usable(model) else None
    return [
        training.shard(settings),
        model,
        training.policy(settings),
        check("trainer state")(machine.state_folder)(settings.state, needed),
        machine.memory(settings, needed),
        machine.cores(settings),
    ]

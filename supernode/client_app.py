"""The site's ClientApp: turns messages into calls of the trainer, and every outcome into an answer."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedlora.audit import Audit
from fedlora.config import read_toml
from fedlora.errors import ConfigurationError, PolicyError, TrainerError, WireError
from fedlora.log import printable
from fedlora.wire.flower_message import WITHDRAWAL, Answer, Request, read_request, write_answer
from supernode.audited import note_answer
from supernode.node_samples import NodeSamples
from supernode.settings import NodeSettings
from supernode.traffic import Traffic
from supernode.trainer import trainer_pb2
from supernode.trainer_client import TrainerClient, magnitudes_of, payload_of
from supernode.withdrawal import withdrawal

__all__ = ["SETTINGS_KEY", "app"]

SETTINGS_KEY = "settings"  # in the node's configuration: the file with the node's settings
log = logging.getLogger("fedlora.worker")

app: ClientApp = ClientApp()


Act = Callable[[TrainerClient, Request, float], Answer]


@dataclass(frozen=True)
class _Node:
    """The site, as its worker sees it."""

    state: Path
    trainer: TrainerClient
    traffic: Traffic
    samples: NodeSamples
    audit: Audit


@lru_cache
def _node(file: str) -> _Node:
    settings = read_toml(NodeSettings, Path(file))
    trainer, traffic = TrainerClient(settings.trainer), Traffic(settings.state)
    samples = NodeSamples(settings, traffic, trainer, os.getppid())  # the entry point has started this process
    return _Node(settings.state, trainer, traffic, samples, settings.audit("worker"))


def _answered(message: Message, context: Context, act: Act) -> Message:
    """Answer a message, and tell with the answer what the node has counted, this answer included.

    What has come is counted before anything is done with it, and what goes before it goes: a process that is killed in
    between has counted the one and not the other, as whoever is at the other end.
    """
    node, run = _node(str(context.node_config[SETTINGS_KEY])), message.metadata.run_id
    answer = _answer(node, message, act)
    node.traffic.answer(run, answer.payload)
    told = node.samples.figures(run, withdrawn=answer.withdrawn)
    return Message(write_answer(replace(answer, figures={**answer.figures, **told})), reply_to=message)


def _answer(node: _Node, message: Message, act: Act) -> Answer:
    """Read the request, and act: an error of the trainer is an answer like any other."""
    metadata = message.metadata
    seconds = metadata.created_at + metadata.ttl - time.time()
    try:
        request = read_request(message.content)
    except WireError as error:
        node.traffic.receive(metadata.run_id, None, None)
        return Answer("refused", f"WireError: {error}")
    node.traffic.receive(metadata.run_id, request.fields.get("run"), request.payload)
    answer = _withdrawn(node.state) or _acted(node.trainer, request, seconds, act)
    note_answer(node.audit, metadata.run_id, metadata.message_type, request, answer)
    return answer


def _acted(trainer: TrainerClient, request: Request, seconds: float, act: Act) -> Answer:
    try:
        return act(trainer, request, seconds)
    except (PolicyError, WireError) as error:
        log.warning("the trainer refused a call of run %s: %s: %s", _run_of(request), type(error).__name__, error)
        return Answer("refused", f"{type(error).__name__}: {error}")
    except TrainerError as error:
        log.warning("the trainer failed a call of run %s: %s: %s", _run_of(request), type(error).__name__, error)
        return Answer("failed", f"{type(error).__name__}: {error}")


def _run_of(request: Request) -> str:
    """Return what a request calls its run, for the log: whoever wrote it may have written anything."""
    return printable(str(request.fields.get("run", "(no run)")))[:100]


def _withdrawn(state: Path) -> Answer | None:
    """Return the answer of a site whose owner has withdrawn it; None if it takes part."""
    try:
        said = withdrawal(state)
    except ConfigurationError as error:
        log.error("%s: until it can be read, the site takes part in nothing", error)
        return Answer("refused", "whether this site is paused cannot be read; see its log", {WITHDRAWAL: "unknown"})
    return None if said is None else Answer("refused", str(said), {WITHDRAWAL: said.kind})


def _text(request: Request, field: str) -> str:
    value = request.fields.get(field)
    if not isinstance(value, str):
        raise WireError(f"request field {field!r} is {value!r}, not text")
    return value


def _number(request: Request, field: str) -> int:
    value = request.fields.get(field)
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise WireError(f"request field {field!r} is {value!r}, not a whole number")
    return value


@app.query("describe")
def describe(message: Message, context: Context) -> Message:
    """Say what this site would train."""

    def act(trainer: TrainerClient, request: Request, seconds: float) -> Answer:
        description = trainer.describe(_text(request, "recipe_sha256"), seconds=seconds)
        fields = {"spec": description.spec, "policy_sha256": description.policy_sha256}
        figures = {"shard_examples": float(description.examples)}
        return Answer("ok", fields=fields, figures=figures, payload=magnitudes_of(description))

    return _answered(message, context, act)


@app.query("configure")
def configure(message: Message, context: Context) -> Message:
    """Open an epoch of a run at this site."""

    def act(trainer: TrainerClient, request: Request, seconds: float) -> Answer:
        configuration = trainer.configure(
            trainer_pb2.ConfigureRequest(
                run=_text(request, "run"),
                epoch=_number(request, "epoch"),
                recipe_sha256=_text(request, "recipe_sha256"),
                spec_sha256=_text(request, "spec_sha256"),
                upload_codec=_text(request, "upload_codec"),
                broadcast_codec=_text(request, "broadcast_codec"),
            ),
            seconds=seconds,
        )
        return Answer("ok", fields={"policy_sha256": configuration.policy_sha256})

    return _answered(message, context, act)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train one round at this site."""

    def act(trainer: TrainerClient, request: Request, seconds: float) -> Answer:
        if request.payload is None:
            raise WireError("the request to train brings no adapter")
        update = trainer.update(
            _text(request, "run"),
            _number(request, "epoch"),
            _number(request, "round"),
            request.payload,
            counted=_number(request, "counted"),
            seconds=seconds,
        )
        fields = {"policy_sha256": update.policy_sha256}
        return Answer("ok", fields=fields, figures=dict(update.figures), payload=payload_of(update))

    return _answered(message, context, act)


@app.query("report")
def report(message: Message, context: Context) -> Message:
    """Say what this node has counted, and nothing else: a run's last question."""
    return _answered(message, context, lambda _trainer, _request, _seconds: Answer("ok"))

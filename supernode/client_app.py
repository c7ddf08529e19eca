"""The site's ClientApp: turns messages into calls of the trainer, and every outcome into an answer."""

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedlora.errors import ConfigurationError, PolicyError, TrainerError, WireError
from fedlora.wire.flower_message import WITHDRAWAL, Answer, Request, read_request, write_answer
from supernode.trainer import trainer_pb2
from supernode.trainer_client import TrainerClient
from supernode.withdrawal import withdrawal

__all__ = ["SOCKET_KEY", "STATE_KEY", "app"]

SOCKET_KEY, STATE_KEY = "trainer-socket", "state"  # in the node's configuration
log = logging.getLogger("fedlora.worker")

app: ClientApp = ClientApp()


@lru_cache
def _trainer(socket: str) -> TrainerClient:
    return TrainerClient(Path(socket))


def _answered(message: Message, context: Context, act: Callable[[TrainerClient, Request, float], Answer]) -> Message:
    """Read the request, act, and answer: an error of the trainer is an answer like any other."""
    if (no := _withdrawn(Path(str(context.node_config[STATE_KEY])))) is not None:
        return Message(write_answer(no), reply_to=message)
    metadata = message.metadata
    seconds = metadata.created_at + metadata.ttl - time.time()
    try:
        answer = act(_trainer(str(context.node_config[SOCKET_KEY])), read_request(message.content), seconds)
    except (PolicyError, WireError) as error:
        answer = Answer("refused", f"{type(error).__name__}: {error}")
    except TrainerError as error:
        answer = Answer("failed", f"{type(error).__name__}: {error}")
    return Message(write_answer(answer), reply_to=message)


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
        return Answer("ok", fields=fields, figures={"shard_examples": float(description.examples)})

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
                codec=_text(request, "codec"),
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
        update, figures = trainer.train(
            _text(request, "run"),
            _number(request, "epoch"),
            _number(request, "round"),
            request.payload,
            seconds=seconds,
        )
        return Answer("ok", figures=figures, payload=update)

    return _answered(message, context, act)

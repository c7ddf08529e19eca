"""The trainer's calls, with a small model behind them, as whoever holds the supernode can make them."""

import dataclasses
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NoReturn

import grpc
from fuzz.fuzzing import Target
from google.protobuf.message import DecodeError, Message
from tiny_model import write_tiny_model

from fedlora.domains import domain
from fedlora.errors import TrainerError
from fedlora.recipes import recipe
from fedlora.shards import read_records, write_records
from fedlora.wire import AdapterSpec, Header, Payload, decode, encode
from superlink.initialisation import initial_adapter
from supernode.trainer import trainer_pb2
from supernode.trainer.journal import Journal
from supernode.trainer.service import ResidentTrainer, TrainerService
from supernode.trainer.settings import Policy, TrainerSettings

__all__ = ["target"]

CANARY = "canary-1d0c"
RECIPE = recipe("medical", "quick", rounds=3, steps=1, batch=2, length=16, rank=2, alpha=4)
CALLS = ("Describe", "Configure", "Train")
REQUESTS = (trainer_pb2.DescribeRequest, trainer_pb2.ConfigureRequest, trainer_pb2.TrainRequest)


class Context:
    """gRPC's side of a call."""

    def abort(self, status: grpc.StatusCode, reason: str) -> NoReturn:
        """End the call: by a named error, or by one that nobody has foreseen."""
        assert CANARY not in reason
        if status is grpc.StatusCode.INTERNAL:
            raise RuntimeError(reason)
        raise TrainerError(reason)

    def time_remaining(self) -> float:
        return 60.0

    def is_active(self) -> bool:
        return True


class Site:
    """A trainer, whose journal is begun anew for each input."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fedlora-fuzz-")
        folder = Path(self._folder.name)
        records = read_records(domain("medical").sample("train"), domain("medical"))[:20]
        write_records([dataclasses.replace(one, output=CANARY) for one in records], folder / "records.jsonl")
        self.state = folder / "state"
        policy = Policy((RECIPE,), fewest_examples=1)
        model = write_tiny_model(folder / "model")
        where = {"state": folder, "socket": folder / "t.sock"}
        settings = TrainerSettings("s", "medical", folder / "records.jsonl", model, "tiny", policy=policy, **where)
        self.service = TrainerService(ResidentTrainer(settings), policy, Journal(self.state))
        self.spec = AdapterSpec.from_json(self.call(0, self.requests()[0]).spec)

    def requests(self) -> list[Message]:
        """Return a right request of each kind."""
        described = trainer_pb2.DescribeRequest(recipe_sha256=RECIPE.sha256)
        if not hasattr(self, "spec"):
            return [described]
        about = {"run": "good", "epoch": 1}
        codecs = {"upload_codec": "fp32", "broadcast_codec": "fp32"}
        hashes = {"recipe_sha256": RECIPE.sha256, "spec_sha256": self.spec.sha256}
        sent = encode(initial_adapter(self.spec, 0), self.spec, kind="global", round_number=1, **about)
        adapter = trainer_pb2.Adapter(header=sent.header.to_json(), blocks=sent.blocks)
        return [
            described,
            trainer_pb2.ConfigureRequest(**about, **hashes, **codecs),
            trainer_pb2.TrainRequest(**about, round=1, adapter=adapter),
        ]

    def call(self, number: int, request: Message) -> Message:
        """Make a call as gRPC does."""
        answered: Callable[..., Message] = getattr(self.service, CALLS[number])
        return answered(request, Context())

    def take(self, data: bytes) -> None:
        """Take a request: its first byte is the call, the rest the message."""
        if not data:
            return
        number = data[0] % len(CALLS)
        request = REQUESTS[number]()
        try:
            request.ParseFromString(data[1:])
        except DecodeError as error:
            raise TrainerError("no message of this call; gRPC does not let it through") from error
        shutil.rmtree(self.state)
        self.service.journal = Journal(self.state)
        self.call(1, self.requests()[1])
        answer = self.call(number, request)
        assert CANARY.encode() not in answer.SerializeToString()
        if isinstance(answer, trainer_pb2.Update):
            decode(Payload(Header.from_json(answer.update.header), tuple(answer.update.blocks)), self.spec)


@cache
def target() -> Target:
    """Return the target; making its model takes a few seconds."""
    site = Site()
    seeds = tuple(bytes([number]) + one.SerializeToString() for number, one in enumerate(site.requests()))
    return Target("trainer", seeds, site.take)

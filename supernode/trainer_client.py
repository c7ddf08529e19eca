"""The supernode's side of the trainer's socket."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import grpc

from fedlora.errors import PolicyError, PrivacyError, TrainerError, WireError
from fedlora.metrics.sample import Sample, read_samples, write_samples
from fedlora.wire import Header, Payload
from supernode.trainer import trainer_pb2, trainer_pb2_grpc

__all__ = ["TrainerClient", "magnitudes_of", "payload_of"]

Response = TypeVar("Response")

LARGEST_MESSAGE = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
ERRORS = {
    grpc.StatusCode.PERMISSION_DENIED: PolicyError,
    grpc.StatusCode.FAILED_PRECONDITION: PrivacyError,
    grpc.StatusCode.INVALID_ARGUMENT: WireError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: WireError,  # gRPC's own answer to a message beyond what the trainer takes
}


class TrainerClient:
    """Calls the trainer behind a Unix socket; every call has a deadline.

    Every method raises PolicyError or WireError when the trainer refuses the call, and TrainerError when it fails, is
    not there or does not answer in time.

    Parameters
    ----------
    socket : Path
        The trainer's socket.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        # A trainer that restarts makes its socket anew; without this, a channel waits up to 20 s before it looks again.
        options = [*LARGEST_MESSAGE, ("grpc.max_reconnect_backoff_ms", 500)]
        self._stub = trainer_pb2_grpc.TrainerStub(grpc.insecure_channel(f"unix:{socket}", options=options))

    def describe(self, recipe_sha256: str, *, seconds: float) -> trainer_pb2.Description:
        """Ask what the trainer would train under a recipe."""
        request = trainer_pb2.DescribeRequest(recipe_sha256=recipe_sha256)
        description: trainer_pb2.Description = self._call(self._stub.Describe, request, seconds)
        return description

    def configure(self, request: trainer_pb2.ConfigureRequest, *, seconds: float) -> trainer_pb2.Configuration:
        """Open an epoch of a run."""
        configuration: trainer_pb2.Configuration = self._call(self._stub.Configure, request, seconds)
        return configuration

    def train(
        self, run: str, epoch: int, round_number: int, adapter: Payload, *, counted: int = 0, seconds: float
    ) -> tuple[Payload, dict[str, float]]:
        """Train one round; return the update and figures about the work; parameters as in `update`."""
        update = self.update(run, epoch, round_number, adapter, counted=counted, seconds=seconds)
        return payload_of(update), dict(update.figures)

    def update(
        self, run: str, epoch: int, round_number: int, adapter: Payload, *, counted: int = 0, seconds: float
    ) -> trainer_pb2.Update:
        """Train one round; return all of the answer.

        `counted` is the last round whose aggregate has an update of this site, 0 for none.
        """
        request = trainer_pb2.TrainRequest(
            run=run,
            epoch=epoch,
            round=round_number,
            adapter=trainer_pb2.Adapter(header=adapter.header.to_json(), blocks=adapter.blocks),
            counted=counted,
        )
        update: trainer_pb2.Update = self._call(self._stub.Train, request, seconds)
        return update

    def metrics(self, *, seconds: float) -> list[Sample]:
        """Ask what the trainer takes of its machine."""
        response = self._call(self._stub.Metrics, trainer_pb2.MetricsRequest(), seconds)
        told = (Sample(sample.name, sample.value, dict(sample.labels)) for sample in response.samples)
        return list(read_samples(write_samples(told)))

    def _call(self, method: Callable[..., Response], request: object, seconds: float) -> Response:
        if seconds <= 0:
            raise TrainerError("the message's time is over; the trainer was not asked")
        try:
            return method(request, timeout=seconds)
        except grpc.RpcError as error:
            kind = ERRORS.get(error.code(), TrainerError)
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise TrainerError("the site's trainer is not there") from error
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TrainerError(f"the site's trainer did not answer within {seconds:.0f} s") from error
            raise kind(error.details()) from error


def magnitudes_of(description: trainer_pb2.Description) -> Payload | None:
    """Return where a described DoRA adapter begins; None of other adapters."""
    return _payload(description.magnitudes) if description.HasField("magnitudes") else None


def payload_of(update: trainer_pb2.Update) -> Payload:
    """Return what an update changes."""
    return _payload(update.update)


def _payload(adapter: trainer_pb2.Adapter) -> Payload:
    return Payload(Header.from_json(adapter.header), tuple(adapter.blocks))

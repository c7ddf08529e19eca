"""A container's health check: ``python -m supernode.trainer.health trainer.toml``.

Exit code 0 if the trainer describes over its socket what it would train, so base model and shard are loaded, and its
disk takes the next update.
"""

import sys
from pathlib import Path

import grpc

from fedlora.config import read_toml
from fedlora.errors import FedloraError
from fedlora.wire import AdapterSpec
from supernode.trainer import trainer_pb2, trainer_pb2_grpc
from supernode.trainer.journal import Journal
from supernode.trainer.settings import TrainerSettings

TIMEOUT_SECONDS = 5.0


def main(arguments: list[str]) -> int:
    """Ask once; return the exit code."""
    try:
        settings = read_toml(TrainerSettings, Path(arguments[0]))
        with grpc.insecure_channel(f"unix:{settings.socket}") as channel:
            request = trainer_pb2.DescribeRequest(recipe_sha256=settings.policy.recipes[0].sha256)
            description = trainer_pb2_grpc.TrainerStub(channel).Describe(request, timeout=TIMEOUT_SECONDS)
        Journal(settings.state).check_room(AdapterSpec.from_json(description.spec).bytes)
    except grpc.RpcError as error:
        print(f"the trainer does not answer at {settings.socket}: {error.code().name}: {error.details()}")
        return 1
    except FedloraError as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    print(f"{description.examples} records")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

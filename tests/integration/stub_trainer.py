"""A trainer without a model: it speaks trainer.proto and returns updates that a test can compute by hand.

    python stub_trainer.py settings.json

Settings: socket, examples, delta (value of every element of the update), base_model_sha256, and behaviour:
"" (well-behaved), "nan", "short" (a block missing), "stale" (the header of another round), "slow" (seconds).
"""

import json
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np

import fedlora
from fedlora.wire import AdapterSpec, TensorSpec, encode
from supernode.trainer import trainer_pb2, trainer_pb2_grpc


def spec(base_model_sha256: str = "b" * 64, rank: int = 4, width: int = 1024, layers: int = 3) -> AdapterSpec:
    tensors = []
    for layer in range(layers):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        tensors.append(TensorSpec(f"{name}.lora_A.weight", (rank, width)))
        tensors.append(TensorSpec(f"{name}.lora_B.weight", (width, rank)))
    return AdapterSpec(
        kit_version=fedlora.__version__,
        base_model="stub",
        base_model_sha256=base_model_sha256,
        tokenizer_sha256="t" * 64,
        recipe="finance/default",
        recipe_sha256="r" * 64,
        alpha=8,
        tensors=tuple(sorted(tensors, key=lambda tensor: tensor.name)),
    )


class StubTrainer(trainer_pb2_grpc.TrainerServicer):
    def __init__(self, settings: dict) -> None:
        self.settings = settings
        self.spec = spec(settings.get("base_model_sha256", "b" * 64))

    def Describe(self, request, context):
        return trainer_pb2.Description(spec=self.spec.to_json(), policy_sha256="p" * 64, examples=100)

    def Configure(self, request, context):
        if request.spec_sha256 != self.spec.sha256:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "another spec")
        return trainer_pb2.Configuration(policy_sha256="p" * 64)

    def Train(self, request, context):
        behaviour = self.settings.get("behaviour", "")
        time.sleep(self.settings.get("seconds", 0.0))
        delta = np.full(self.spec.size, self.settings["delta"] * request.round, dtype=np.float32)
        if behaviour == "nan":
            delta[7] = np.nan
        update = encode(
            delta,
            self.spec,
            kind="update",
            run=request.run,
            epoch=request.epoch,
            round_number=request.round + (behaviour == "stale"),
            examples=self.settings["examples"],
        )
        blocks = update.blocks[:-1] if behaviour == "short" else update.blocks
        return trainer_pb2.Update(
            update=trainer_pb2.Adapter(header=update.header.to_json(), blocks=blocks),
            figures={"loss": 1.0 / request.round, "seconds": 0.01, "tokens": 64.0},
        )


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(4), options=options)
    trainer_pb2_grpc.add_TrainerServicer_to_server(StubTrainer(settings), server)
    server.add_insecure_port(f"unix:{settings['socket']}")
    server.start()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    stopped.wait()
    server.stop(0)


if __name__ == "__main__":
    main()

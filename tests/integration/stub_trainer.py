"""A trainer without a model: it speaks trainer.proto and returns updates that a test can compute by hand.

    python stub_trainer.py settings.json

Settings, read again at each call: socket, examples, delta (value of every element of the update), base_model_sha256,
seconds (that a round takes, those from `from_round` on; it may change meanwhile), and behaviour: "" (well-behaved),
"nan", "short" (a block missing), "stale" (the header of another round), "broken" (an error in the place of an update),
"boasts" (figures that cannot be). Like the real one it refuses an adapter of another spec.
"""

import json
import math
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np

import fedlora
from fedlora.errors import WireError
from fedlora.metrics import Sample
from fedlora.metrics.processes import process_samples
from fedlora.wire import AdapterSpec, Payload, TensorSpec, decode, encode
from fedlora.wire.header import Header
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
    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def settings(self) -> dict:
        return json.loads(self.file.read_text())

    @property
    def spec(self) -> AdapterSpec:
        return spec(self.settings.get("base_model_sha256", "b" * 64))

    def Describe(self, request, context):
        return trainer_pb2.Description(spec=self.spec.to_json(), policy_sha256="p" * 64, examples=100)

    def Configure(self, request, context):
        if request.spec_sha256 != self.spec.sha256:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "another spec")
        return trainer_pb2.Configuration(policy_sha256="p" * 64)

    def Metrics(self, request, context):
        samples = [Sample("fedlora_model_load_seconds", 1.5), *process_samples("trainer", state=self.file.parent)]
        return trainer_pb2.MetricsResponse(
            samples=[trainer_pb2.MetricSample(name=one.name, labels=one.labels, value=one.value) for one in samples]
        )

    def _take_time(self, number: int) -> None:
        """Wait as long as the settings say; they may change meanwhile."""
        started = time.monotonic()
        while number >= self.settings.get("from_round", 1):
            if time.monotonic() - started >= self.settings.get("seconds", 0.0):
                return
            time.sleep(0.05)

    def Train(self, request, context):
        settings, expected = self.settings, self.spec
        try:
            decode(Payload(Header.from_json(request.adapter.header), tuple(request.adapter.blocks)), expected)
        except WireError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        print(f"run {request.run}: round {request.round} has begun", flush=True)
        behaviour, started = settings.get("behaviour", ""), time.monotonic()
        self._take_time(request.round)
        if behaviour == "broken":
            context.abort(grpc.StatusCode.INTERNAL, "broken")
        seconds = time.monotonic() - started
        delta = np.full(expected.size, settings["delta"] * request.round, dtype=np.float32)
        if behaviour == "nan":
            delta[7] = np.nan
        update = encode(
            delta,
            expected,
            kind="update",
            run=request.run,
            epoch=request.epoch,
            round_number=request.round + (behaviour == "stale"),
            examples=settings["examples"],
        )
        blocks = update.blocks[:-1] if behaviour == "short" else update.blocks
        return trainer_pb2.Update(
            update=trainer_pb2.Adapter(header=update.header.to_json(), blocks=blocks),
            figures={
                "loss": 1.0 / request.round,
                "train_seconds": seconds,
                "load_seconds": 0.0,
                "tokens": 64.0,
                "padded_tokens": 80.0,
                **({"tokens": math.inf, "loss": math.nan, "padded_tokens": 1e300} if behaviour == "boasts" else {}),
            },
        )


def main() -> None:
    file = Path(sys.argv[1])
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(4), options=options)
    trainer_pb2_grpc.add_TrainerServicer_to_server(StubTrainer(file), server)
    server.add_insecure_port(f"unix:{json.loads(file.read_text())['socket']}")
    server.start()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    stopped.wait()
    server.stop(0)


if __name__ == "__main__":
    main()

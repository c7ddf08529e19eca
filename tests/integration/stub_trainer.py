"""A trainer without a model: it speaks trainer.proto and returns updates that a test can compute by hand.

    python stub_trainer.py settings.json

Settings, read again at each call: socket, examples, delta (value of every element of the update), noise (spread of
normal values that are added, as a share of delta), base_model_sha256,
rank, width and layers (the adapter's shape), magnitude (with it, the adapter is a DoRA one that begins with it
everywhere),
seconds (that a round takes, those from `from_round` on; it may change meanwhile), and behaviour: "" (well-behaved),
"nan", "inf", "short" (a block missing), "doubled" (a block twice), "stale" (the header of another round), "broken" (an
error in the place of an update), "boasts" (figures that cannot be); header (fields of an update's header that are
other than they should be); kit_version (that its spec states); and factors ("both", "b" or "alternating", as a recipe
has it). Like the real one it refuses an adapter of another spec, or in another codec than it was told when the run was
opened.
"""

import json
import math
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np

import fedlora
from fedlora.errors import WireError
from fedlora.metrics import Sample
from fedlora.metrics.processes import process_samples
from fedlora.wire import AdapterSpec, Payload, TensorSpec, decode, encode
from fedlora.wire.header import Header
from fedlora.wire.spec import MAGNITUDE
from supernode.trainer import trainer_pb2, trainer_pb2_grpc

sys.path.append(str(Path(__file__).parents[1]))  # as pytest has it
from forged_payloads import forged

# Of a run that was opened before the stub was started anew.
AS_IT_IS = trainer_pb2.ConfigureRequest(upload_codec="fp32", broadcast_codec="fp32")


def spec(
    base_model_sha256: str = "b" * 64, rank: int = 4, width: int = 1024, layers: int = 3, adapter: str = "lora"
) -> AdapterSpec:
    tensors = []
    for layer in range(layers):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        tensors.append(TensorSpec(f"{name}.lora_A.weight", (rank, width)))
        tensors.append(TensorSpec(f"{name}.lora_B.weight", (width, rank)))
        if adapter == "dora":
            tensors.append(TensorSpec(f"{name}{MAGNITUDE}", (width,)))
    return AdapterSpec(
        kit_version=fedlora.__version__,
        base_model="stub",
        base_model_sha256=base_model_sha256,
        tokenizer_sha256="t" * 64,
        recipe="finance/quick",
        recipe_sha256="r" * 64,
        adapter=adapter,
        alpha=8,
        tensors=tuple(sorted(tensors, key=lambda tensor: tensor.name)),
    )


class StubTrainer(trainer_pb2_grpc.TrainerServicer):
    def __init__(self, file: Path) -> None:
        self.file = file
        self.opened: dict[str, trainer_pb2.ConfigureRequest] = {}  # by run

    @property
    def settings(self) -> dict:
        return json.loads(self.file.read_text())

    def behave(self, **settings: object) -> None:
        """Change settings, in one piece: a call may be reading them."""
        unfinished = self.file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps({**self.settings, **settings}))
        unfinished.replace(self.file)

    @property
    def spec(self) -> AdapterSpec:
        settings = self.settings
        kind = "dora" if "magnitude" in settings else "lora"
        shape = {name: settings[name] for name in ("rank", "width", "layers") if name in settings}
        made = spec(settings.get("base_model_sha256", "b" * 64), adapter=kind, **shape)
        return replace(made, kit_version=settings.get("kit_version", made.kit_version))

    def Describe(self, request, context):
        described = trainer_pb2.Description(spec=self.spec.to_json(), policy_sha256="p" * 64, examples=100)
        if (part := self.spec.magnitudes) is not None:
            values = np.full(part.size, self.settings["magnitude"], dtype=np.float32)
            told = encode(values, part, kind="magnitudes", run="", epoch=0, round_number=0)
            described.magnitudes.CopyFrom(trainer_pb2.Adapter(header=told.header.to_json(), blocks=told.blocks))
        return described

    def Configure(self, request, context):
        if request.spec_sha256 != self.spec.sha256:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "another spec")
        self.opened[request.run] = request
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
        codecs = self.opened.get(request.run, AS_IT_IS)
        try:
            header = Header.from_json(request.adapter.header)
            vector = decode(Payload(header, tuple(request.adapter.blocks)), expected, codecs.broadcast_codec)
        except WireError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        print(f"run {request.run}: round {request.round} has begun, counted is {request.counted}", flush=True)
        print(f"run {request.run}: round {request.round} came in {header.codec} as {vector[0]!r}", flush=True)
        behaviour, started = settings.get("behaviour", ""), time.monotonic()
        self._take_time(request.round)
        if behaviour == "broken":
            context.abort(grpc.StatusCode.INTERNAL, "broken")
        seconds = time.monotonic() - started
        part = expected.trained(settings.get("factors", "both"), request.round)
        delta = np.full(part.size, settings["delta"] * request.round, dtype=np.float32)
        if noise := settings.get("noise"):
            generator = np.random.default_rng([request.round, *settings["socket"].encode()])
            delta *= 1 + np.float32(noise) * generator.standard_normal(part.size, dtype=np.float32)
        update = encode(
            delta,
            part,
            kind="update",
            run=request.run,
            epoch=request.epoch,
            round_number=request.round + (behaviour == "stale"),
            examples=settings["examples"],
            codec=codecs.upload_codec,
        )
        if behaviour in ("nan", "inf"):
            delta[7] = float(behaviour)
            update = forged(update, delta.tobytes())
        if "header" in settings:
            update = Payload(replace(update.header, **settings["header"]), update.blocks)
        blocks = {"short": update.blocks[:-1], "doubled": update.blocks * 2}.get(behaviour, update.blocks)
        return trainer_pb2.Update(
            update=trainer_pb2.Adapter(header=update.header.to_json(), blocks=blocks),
            policy_sha256="p" * 64,
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

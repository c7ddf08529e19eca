"""What an adapter takes on the wire in each codec, against stock Flower, and how fast codecs are (B1).

Updates and adapters are those of a training of SmolLM2-135M on the finance samples: LoRA of rank 8 on q and v, which
are 120 tensors. Stock Flower sends each as an array of its own. Both are counted as Flower's objects, as they are
pushed: the message with all its records. What TLS and remote calls add is left out of both.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.task_identity import TaskIdentity
from paired import digits

from fedlora.codecs import CODECS
from fedlora.domains import domain
from fedlora.language_model import obtain
from fedlora.recipes import recipe as recipe_of
from fedlora.shards import read_records, write_records
from fedlora.wire import AdapterSpec, codec_named, encode
from fedlora.wire.flower_message import Answer, Request, write_answer, write_request
from fedlora.wire.spec import Vector
from superlink.initialisation import initial_adapter
from supernode.trainer.settings import Policy, TrainerSettings

GOALS = {"fp32z": 1.18, "bf16": 2.0, "bf16z": 2.8, "int8": 4.0, "int8z": 4.0, "int4": 8.0, "int4z": 8.0}
SPEED_VALUES = 16 * 2**20  # 64 MiB of fp32, beyond the caches
REPEATS = 5


def trained(rounds: int) -> tuple[AdapterSpec, list[Vector], list[Vector]]:
    """Return the updates of some rounds of training, and the adapters that they have led to.

    Not the one that the first begins from: half of its values are zero, and Flower sends equal arrays once.
    """
    os.environ.update(OMP_WAIT_POLICY="PASSIVE", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    from supernode.trainer.service import ResidentTrainer

    finance, base = domain("finance"), obtain()
    modules = ("q_proj", "v_proj")
    recipe = recipe_of("finance", "quick", rank=8, alpha=16, target_modules=modules, steps=10, batch=8, rounds=rounds)
    with tempfile.TemporaryDirectory(prefix="fedlora-bench-") as name:
        folder = Path(name)
        write_records(read_records(finance.sample("train"), finance), folder / "records.jsonl")
        settings = TrainerSettings(
            *("bench", "finance", folder / "records.jsonl", base.directory, base.name),
            state=folder / "state",
            socket=folder / "t.sock",
            policy=Policy((recipe,)),
        )
        trainer = ResidentTrainer(settings)
        spec = trainer.adapter.spec
        adapters, updates = [initial_adapter(spec, seed=0)], []
        for number in range(1, rounds + 1):
            updates.append(trainer.train(recipe, adapters[-1], number, lambda: False)[0])
            adapters.append((adapters[-1] + updates[-1]).astype(np.float32))
    return spec, updates, adapters[1:]


def pushed(content: RecordDict) -> tuple[int, int]:
    """Return the objects of a message with this content, and their bytes."""
    TaskIdentity._task_id = TaskIdentity._run_id = TaskIdentity._node_id = 2**63  # what a message says of its sender
    objects = get_all_nested_objects(Message(content, dst_node_id=2**63, message_type="train"))
    return len(objects), sum(len(one.deflate()) for one in objects.values())


def stock(vector: Vector, spec: AdapterSpec) -> tuple[int, int]:
    """Return objects and bytes of an adapter as Flower's own strategies and apps send it."""
    arrays = ArrayRecord({name: Array(np.ascontiguousarray(values)) for name, values in spec.views(vector)})
    return pushed(RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 80, "train_loss": 0.5})}))


def sizes(spec: AdapterSpec, updates: Sequence[Vector], adapters: Sequence[Vector]) -> Iterator[dict[str, object]]:
    """Yield, for each codec and direction, what its messages take, and how many times as much stock's."""
    for codec in CODECS:
        for way, vectors in (("up", updates), ("down", adapters)):
            ours, theirs, about = [], [], {"run": "bench", "epoch": 1, "codec": codec}
            for number, vector in enumerate(vectors, 1):
                if way == "up":
                    update = encode(vector, spec, kind="update", round_number=number, examples=80, **about)
                    content = write_answer(Answer("ok", figures={"loss": 0.5}, payload=update))
                else:
                    sent = encode(vector, spec, kind="global", round_number=number, **about)
                    content = write_request(Request({"run": "bench", "epoch": 1, "round": number, "counted": 0}, sent))
                ours.append(pushed(content))
                theirs.append(stock(vector, spec))
            ratios = [other[1] / own[1] for own, other in zip(ours, theirs, strict=True)]
            yield {
                "figure": f"bytes {way}, stock fp32 / {codec}",
                "ratio": [digits(ratio) for ratio in ratios],
                "worst": digits(min(ratios)),
                "bytes": [size for _, size in ours],
                "objects": ours[0][0],
                "stock_bytes": theirs[0][1],
                "stock_objects": theirs[0][0],
                "goal": f"at least {GOALS[codec]}" if codec in GOALS else "none",
                "met": min(ratios) >= GOALS.get(codec, 0),
            }


def speeds(update: Vector) -> Iterator[dict[str, object]]:
    """Yield how many GB of fp32 values a codec takes in and gives back in a second, and a copy of as many."""
    values = np.resize(update, SPEED_VALUES)
    place = np.empty_like(values)
    copy = _seconds(lambda: np.copyto(place, values))
    for name in CODECS:
        codec = codec_named(name)
        data = codec.encode(values)
        encoding, decoding = _seconds(partial(codec.encode, values)), _seconds(partial(codec.decode, data, values.size))
        viewed = name == "fp32"  # nothing is done at all
        yield {
            "figure": f"speed of {name}, GB/s of fp32",
            "encode": None if viewed else digits(values.nbytes / encoding / 1e9),
            "decode": None if viewed else digits(values.nbytes / decoding / 1e9),
            "copy": digits(values.nbytes / copy / 1e9),
            "load": digits(os.getloadavg()[0]),
        }


def _seconds(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Measure, and print each figure as a line of JSON."""
    parser = argparse.ArgumentParser(description="What adapters take on the wire.")
    parser.add_argument("--rounds", type=int, default=3, help="of training, whose updates are measured")
    options = parser.parse_args()
    spec, updates, adapters = trained(options.rounds)
    for figures in (*sizes(spec, updates, adapters), *speeds(updates[-1])):
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
